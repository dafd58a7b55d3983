"""Everything that is wrong with a data set, found by the code that loads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hrdet.data.annotations import AnnotationTable, read_coco, read_voc
from hrdet.data.datasets.images import FolderImages, ZipImages, decode_checked, image_store
from hrdet.data.errors import DataError, Problem


@dataclass(slots=True)
class DatasetCheck:
    """A data set under examination.  What is found is collected in ``problems``."""

    name: str
    table: AnnotationTable | None = None  # None where the annotations cannot be read at all
    images: FolderImages | ZipImages | None = None
    problems: list[Problem] = field(default_factory=list)

    def check_images(self) -> Iterator[None]:
        """Read every image of the table, one for each step: missing, corrupt, of another size."""
        for name, size in zip(self.table.file_names, self.table.sizes.tolist()):
            try:
                decode_checked(self.images, name, tuple(size))
            except DataError as error:
                self.problems.append(Problem('', '', str(error), fatal=True))
            yield

    def class_counts(self) -> dict[str, int]:
        """Boxes of each class, crowd regions not counted."""
        labels = self.table.labels[~self.table.crowd]
        return dict(zip(self.table.classes, np.bincount(labels, minlength=len(self.table.classes))))


def open_coco(
    ann_file: str,
    img_prefix: str | None = None,
    classes: tuple[str, ...] | None = None,
    with_mask: bool = False,
) -> DatasetCheck:
    """Read a COCO file; without ``img_prefix`` images are not looked at.

    A missing or bad segmentation is an error only ``with_mask``.
    """
    check = DatasetCheck(ann_file)
    with _noting(check):
        check.table, check.problems = read_coco(ann_file, with_mask)
    with _noting(check):
        check.images = None if img_prefix is None else image_store(img_prefix)
    return _with_classes(check, classes)


def open_voc(ann_file: str, root: str, classes: tuple[str, ...] | None = None) -> DatasetCheck:
    """Read one list of images of a VOC folder."""
    check = DatasetCheck(ann_file)
    with _noting(check):
        check.table, check.problems = read_voc(ann_file, root)
    with _noting(check):
        check.images = FolderImages(str(Path(root, 'JPEGImages')))
    return _with_classes(check, classes)


@contextmanager
def _noting(check: DatasetCheck) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        check.problems.append(Problem('', '', str(error), fatal=True))


def _with_classes(check: DatasetCheck, wanted: tuple[str, ...] | None) -> DatasetCheck:
    for name in wanted or () if check.table is not None else ():
        if name not in check.table.classes:
            reason = f'no class {name!r}, which the config wants; it has {check.table.classes}'
            check.problems.append(Problem(check.name, 'classes', reason, fatal=True))
    return check
