"""Check a data set with the code that loads it, and list all problems."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

from hrdet.data.annotations.filters import suspicious_boxes
from hrdet.data.datasets import overlap
from hrdet.data.datasets.annotated import AnnotatedImages
from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.inspection import Findings, conclude, inspect
from hrdet.data.errors import DataError, Problem, collecting
from hrdet.messages import plural
from hrdet.registry import ConfigError, build, registered


class DatasetCheck:
    """A data set under examination: what is wrong is collected in ``problems``.

    Args:
        kind: the class of the data set.
        arguments: of its constructor.
        part: what the part of a larger data set is called, such as 'train'.
    """

    def __init__(self, kind: type[ImageDataset], arguments: Mapping[str, Any], part: str = ''):
        # Fatal problems of a table that is read already; the data set tells the others.
        self.problems = [problem for problem in arguments.get('problems', ()) if problem.fatal]
        self.findings: list[Findings] = []
        self.evaluators: list[Mapping[str, Any]] = []  # nodes
        self.part = part
        self.dataset: ImageDataset | None = None  # None where it cannot be opened at all
        keys = ('data_root', 'ann_file', 'img_dir', 'data_prefix', 'split')
        parts = (arguments.get(key) for key in keys)
        self.name = ' '.join(part for part in parts if isinstance(part, str) and part)
        if not issubclass(kind, ImageDataset):
            reason = 'not checked: the class is no ImageDataset'
            self.problems.append(Problem(kind.__name__, '', reason, fatal=False))
            return
        with self._collecting():
            # Of the transforms only one that refuses images: others may need more than the data.
            first = [step for step in arguments.get('transforms', ())[:1] if _may_refuse(step)]
            self.dataset = kind(**{**arguments, 'transforms': build(first)})
            self.name = f'{self.dataset.source} ({part})' if part else self.dataset.source
            if isinstance(self.dataset, AnnotatedImages):
                self.problems += suspicious_boxes(self.dataset.table)

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


def _may_refuse(step: Any) -> bool:
    return isinstance(step, Mapping) and hasattr(registered(step['type']), 'check_size')


def examine(node: Mapping[str, Any]) -> DatasetCheck:
    """The check of a config's data set."""
    return DatasetCheck(registered(node['type']), {k: v for k, v in node.items() if k != 'type'})


def shared_images(checks: Sequence[DatasetCheck]) -> list[Problem]:
    """A warning for each two data sets that share images, whatever these are called."""
    problems = []
    opened = [check for check in checks if check.dataset is not None]
    for first, second in combinations(opened, 2):
        shared = overlap.shared_images(first.dataset, second.dataset, any_name=True)
        if shared:
            reason = (
                f'{len(shared)} of {plural(len(second), "image")} are in {first.name}, too, such '
                f'as {shared[0]}: metrics on trained images are too good. Remove them from one'
            )
            problems.append(Problem(second.name, '', reason, fatal=False))
    return problems


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
