"""Check a data set with the code that loads it, and list all problems."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.data.annotations import AnnotationTable, read_coco, read_voc
from hrdet.data.datasets.images import FolderImages, ZipImages, decode_checked, image_store
from hrdet.data.errors import DataError, Problem
from hrdet.messages import plural
from hrdet.registry import registered


@dataclass(slots=True)
class DatasetCheck:
    """A data set under examination: a task's check collects what is wrong in ``problems``.

    A data set's class method ``examine``, which takes the arguments of its constructor, returns it.
    """

    name: str
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of images that ``check_images`` reads."""
        return 0

    def check_images(self) -> Iterator[None]:
        """Read every image, one for each step: missing, corrupt, of another size."""
        return iter(())

    def summary(self) -> str:
        """What is in the data set; '' where it cannot be read."""
        return ''

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """A DataError ends the block and becomes a problem."""
        try:
            yield
        except DataError as error:
            self.problems.append(Problem('', '', str(error), fatal=True))


@dataclass(slots=True)
class AnnotationCheck(DatasetCheck):
    """A data set of boxes under examination."""

    table: AnnotationTable | None = None  # None where the annotations cannot be read at all
    images: FolderImages | ZipImages | None = None  # None: images are left alone

    def __len__(self) -> int:
        known = self.table is not None and self.images is not None
        return len(self.table.file_names) if known else 0

    def check_images(self) -> Iterator[None]:
        for name, size in zip(self.table.file_names, self.table.sizes.tolist()):
            with self.collecting():
                decode_checked(self.images, name, tuple(size))
            yield

    def summary(self) -> str:
        if self.table is None:
            return ''
        counts = ', '.join(f'{name} {count}' for name, count in self.class_counts().items())
        return f'{plural(len(self.table.file_names), "image")}; boxes by class: {counts}'

    def class_counts(self) -> dict[str, int]:
        """Boxes of each class, crowd regions not counted."""
        labels = self.table.labels[~self.table.crowd]
        return dict(zip(self.table.classes, np.bincount(labels, minlength=len(self.table.classes))))

    def check_classes(self, wanted: tuple[str, ...] | None) -> None:
        """Classes that the config wants must be in the annotations."""
        for name in wanted or () if self.table is not None else ():
            if name not in self.table.classes:
                reason = f'no class {name!r}, which the config wants; it has {self.table.classes}'
                self.problems.append(Problem(self.name, 'classes', reason, fatal=True))


def examine(node: Mapping[str, Any]) -> DatasetCheck:
    """The check of a config's data set, by the class method ``examine`` of its type."""
    cls = registered(node['type'])
    if not hasattr(cls, 'examine'):
        reason = 'data sets of this type are not checked: the class has no method examine'
        return DatasetCheck(node['type'], [Problem(node['type'], '', reason, fatal=False)])
    return cls.examine(**{key: value for key, value in node.items() if key != 'type'})


def open_coco(
    ann_file: str,
    img_prefix: str | None = None,
    classes: tuple[str, ...] | None = None,
    with_mask: bool = False,
) -> AnnotationCheck:
    """Read a COCO file; without ``img_prefix`` images are not read.

    A missing or bad segmentation is an error only ``with_mask``.
    """
    check = AnnotationCheck(ann_file)
    with check.collecting():
        check.table, check.problems = read_coco(ann_file, with_mask)
    with check.collecting():
        check.images = None if img_prefix is None else image_store(img_prefix)
    check.check_classes(classes)
    return check


def open_voc(ann_file: str, root: str, classes: tuple[str, ...] | None = None) -> AnnotationCheck:
    """Read one list of images of a VOC folder."""
    check = AnnotationCheck(ann_file)
    with check.collecting():
        check.table, check.problems = read_voc(ann_file, root)
    with check.collecting():
        check.images = FolderImages(str(Path(root, 'JPEGImages')))
    check.check_classes(classes)
    return check
