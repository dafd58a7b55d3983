"""Which images and boxes of an annotation table a data set uses, and how many it leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hrdet.data.annotations.table import AnnotationTable
from hrdet.data.errors import DataError, Problem
from hrdet.messages import plural
from hrdet.registry import nearest


@dataclass(slots=True)
class AnnotationReport:
    """How many images and boxes a file has, and how many each filter dropped."""

    file: str
    classes: tuple[str, ...]  # of the file
    images: int
    boxes: int
    images_kept: int = 0
    boxes_kept: int = 0
    crowds_kept: int = 0
    dropped_images: dict[str, int] = field(default_factory=dict)
    dropped_boxes: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def __str__(self) -> str:
        def listed(counts):
            dropped = [f'{count} {reason}' for reason, count in counts.items() if count]
            return f' (dropped: {", ".join(dropped)})' if dropped else ''

        boxes = plural(self.boxes_kept, 'box', 'boxes')
        crowds = plural(self.crowds_kept, 'crowd region')
        return (
            f'{self.file}: {self.images_kept} of {plural(self.images, "image")}'
            f'{listed(self.dropped_images)}, {boxes} and {crowds} of {self.boxes}'
            f'{listed(self.dropped_boxes)}'
        )


def select(
    table: AnnotationTable,
    classes: Sequence[str] | None,
    filter_empty: bool,
    min_size: int,
    report: AnnotationReport,
) -> AnnotationTable:
    """The part of a table that a data set uses, with labels in the order of ``classes``.

    Args:
        table: all annotations of a file.
        classes: names; None takes the file's.
        filter_empty: drop images without boxes.
        min_size: drop images with an edge below this many pixels.
        report: takes the counts.

    Raises:
        DataError: the file does not have a class, or no image is left.
    """
    wanted = table.classes if classes is None else tuple(classes)
    table = _select_boxes(table, wanted, report)
    table = _select_images(table, filter_empty, min_size, report)
    report.images_kept = len(table.image_ids)
    report.crowds_kept = int(table.crowd.sum())
    report.boxes_kept = len(table.boxes) - report.crowds_kept
    _check_classes(wanted, report)
    return table


def _select_boxes(
    table: AnnotationTable, wanted: tuple[str, ...], report: AnnotationReport
) -> AnnotationTable:
    """Drop boxes that cannot be trained on, as the 2019 releases do, and number the labels."""
    label_of = {name: label for label, name in enumerate(wanted)}
    # 1. Labels (m,) in the order of ``wanted``; -1 for classes that it leaves out.
    new_label = np.array([label_of.get(name, -1) for name in table.classes] + [-1], np.int64)
    labels = new_label[table.labels]
    x1, y1, x2, y2 = table.boxes.T
    height, width = table.sizes[table.image_rows].T
    # 2. Why a box (m,) is dropped; one with several reasons counts for the first.
    filters = {
        'flagged as ignored': table.flagged,
        'of other classes': labels < 0,
        'below 1 pixel': (x2 - x1 < 1) | (y2 - y1 < 1) | (table.areas <= 0),
        'outside their image': (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height),
    }
    keep = np.ones(len(labels), bool)
    for reason, drop in filters.items():
        report.dropped_boxes[reason] = int((keep & drop).sum())
        keep &= ~drop
    # 3. The category ids of the file, in the new order.
    ids = dict(zip(table.classes, table.category_ids))
    table = replace(
        table,
        labels=labels,
        classes=wanted,
        category_ids=tuple(ids.get(name, -1) for name in wanted),
    )
    report.dropped_boxes = {k: v for k, v in report.dropped_boxes.items() if v}
    return table.keep_boxes(keep)


def _select_images(
    table: AnnotationTable, filter_empty: bool, min_size: int, report: AnnotationReport
) -> AnnotationTable:
    # Boxes (n,) on each image, crowd regions not counted.
    counts = np.bincount(table.image_rows[~table.crowd], minlength=len(table.image_ids))
    small = table.sizes.min(axis=1, initial=2**31) < min_size
    empty = (counts == 0) & ~small & filter_empty
    for reason, drop in ((f'below {min_size} pixels', small), ('without boxes', empty)):
        if drop.any():
            report.dropped_images[reason] = int(drop.sum())
    return table.keep_images(~(small | empty))


def _check_classes(wanted: tuple[str, ...], report: AnnotationReport) -> None:
    if not wanted:
        raise DataError(f'{report.file}: the file names no classes')
    if len(set(wanted)) < len(wanted):
        raise DataError(f'classes={wanted} names a class twice')
    absent = [name for name in wanted if name not in report.classes]
    if absent:
        known = plural(len(report.classes), 'class', 'classes')
        raise DataError(
            f'{report.file} has no class {absent[0]!r}{nearest(absent[0], report.classes)}.\n'
            f'  the file has {known}: {_listed(report.classes)}\n'
            f'  the config wants {len(wanted)}: {_listed(wanted)}\n'
            f'  {report}'
        )
    if report.images_kept == 0:
        raise DataError(f'no image is left to use; {report}')


def _listed(names: Sequence[str]) -> str:
    return ', '.join(names[:20]) + (f', ... ({len(names) - 20} more)' if len(names) > 20 else '')
