"""Check a data set with the code that loads it, and list all problems."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.inspection import Findings, conclude, inspect
from hrdet.data.errors import DataError, Problem, collecting
from hrdet.registry import ConfigError, build, registered


class DatasetCheck:
    """A data set under examination: what is wrong is collected in ``problems``.

    Args:
        kind: the class of the data set.
        arguments: of its constructor; transforms are left out.
    """

    def __init__(self, kind: type[ImageDataset], arguments: Mapping[str, Any]):
        self.problems: list[Problem] = []
        self.findings: list[Findings] = []
        self.evaluators: list[Mapping[str, Any]] = []  # nodes
        self.dataset: ImageDataset | None = None  # None where it cannot be opened at all
        keys = ('data_root', 'ann_file', 'img_dir', 'data_prefix', 'split')
        parts = (arguments.get(key) for key in keys)
        self.name = ' '.join(part for part in parts if isinstance(part, str) and part)
        if not issubclass(kind, ImageDataset):
            reason = 'not checked: the class is no ImageDataset'
            self.problems.append(Problem(kind.__name__, '', reason, fatal=False))
            return
        with self._collecting():
            self.dataset = kind(**{**arguments, 'transforms': ()})
            self.name = self.dataset.source

    def __len__(self) -> int:
        """The number of images that ``check_images`` reads."""
        return 0 if self.dataset is None else len(self.dataset)

    def check_images(self, workers: int = 0) -> Iterator[None]:
        """Read every image and its truth, one for each step."""
        if self.dataset is None:
            return
        for findings in inspect(self.dataset, workers=workers):
            self.findings.append(findings)
            yield
        self.problems += conclude(self.dataset, range(len(self.findings)), self.findings)

    def check_evaluators(self) -> None:
        """Build the ``evaluators`` for a data set that is sound: what they ask beyond that."""
        if self.dataset is None or any(problem.fatal for problem in self.problems):
            return
        for node in self.evaluators:
            with self._collecting():
                build(node, dataset=self.dataset)

    def summary(self) -> str:
        """What is in the data set; '' where it cannot be read."""
        return '' if self.dataset is None else self.dataset.summary(self.findings)

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        """An error ends the block and becomes a problem."""
        with collecting(self.problems):
            try:
                yield
            except (DataError, ConfigError) as error:
                self.problems.append(Problem('', '', str(error), fatal=True))


def examine(node: Mapping[str, Any]) -> DatasetCheck:
    """The check of a config's data set."""
    return DatasetCheck(registered(node['type']), {k: v for k, v in node.items() if k != 'type'})


def open_coco(ann_file: str, img_prefix: str | None = None) -> DatasetCheck:
    """The check of a COCO file and all of its images, which may lie nowhere."""
    from hrdet.data.datasets.coco import CocoDataset

    everything = dict(filter_empty=False, min_size=0)
    return DatasetCheck(
        CocoDataset, dict(ann_file=ann_file, img_prefix=img_prefix or '', **everything)
    )


def open_voc(ann_file: str, root: str) -> DatasetCheck:
    """The check of one list of images of a VOC folder."""
    from hrdet.data.datasets.voc import VOCDataset

    everything = dict(filter_empty=False, min_size=0)
    return DatasetCheck(VOCDataset, dict(ann_file=ann_file, img_prefix=root, **everything))
