"""Which images and boxes of an annotation table a data set uses, and how many it leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from hrdet.data.annotations.table import AnnotationTable
from hrdet.data.errors import DataError, Problem, alike_classes
from hrdet.messages import plural
from hrdet.registry import nearest

_THIN = 2  # pixels: a narrower box is a slip of the hand, most likely
_WHOLE = 0.99  # of an image: a box that covers it is one drawn for the picture, not for an object
_REPEATED = 'the box and the class of another box of their image; remove them'
_OFTEN = 0.05  # of all boxes: a few that are there twice are usual
_MOSTLY = 0.5  # of the objects of a class: crowd regions beyond it are a mistake, most likely


@dataclass(slots=True)
class AnnotationReport:
    """How many images and boxes a file has, and how many each filter dropped.

    Every box is in exactly one count: kept, a crowd region, or dropped for its first reason.
    """

    file: str
    classes: tuple[str, ...]  # of the file
    images: int
    boxes: int
    images_kept: int = 0
    boxes_kept: int = 0
    crowds_kept: int = 0
    by_class: dict[str, int] = field(default_factory=dict)  # of the boxes kept
    dropped_images: dict[str, int] = field(default_factory=dict)
    dropped_boxes: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def __str__(self) -> str:
        def listed(counts):
            dropped = [f'{number} {reason}' for reason, number in counts.items() if number]
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
    _note_crowds(table, report)
    _note_repeated(table, report)
    table = _select_images(table, filter_empty, min_size, report)
    report.images_kept = len(table.image_ids)
    report.crowds_kept = int(table.crowd.sum())
    report.boxes_kept = len(table.boxes) - report.crowds_kept
    counts = np.bincount(table.labels[~table.crowd], minlength=len(wanted)).tolist()
    report.by_class = dict(zip(wanted, counts))
    _check_classes(wanted, report)
    report.problems += alike_classes(report.file, wanted)
    if filter_empty:  # it is learned from
        _note_single_class(report)
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
    # 3. The category ids of the file, in the new order; classes that it lacks get unused ones.
    ids = dict(zip(table.classes, table.category_ids))
    unused = count(max(table.category_ids, default=0) + 1)
    table = replace(
        table,
        labels=labels,
        classes=wanted,
        category_ids=tuple(ids[name] if name in ids else next(unused) for name in wanted),
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
            lost = int(drop[table.image_rows].sum())  # on images without boxes: crowd regions
            if lost:
                report.dropped_boxes[f'on images {reason}'] = lost
    return table.keep_images(~(small | empty))


def _note_crowds(table: AnnotationTable, report: AnnotationReport) -> None:
    """A warning for each class whose objects are crowd regions for the most part."""
    for label, name in enumerate(table.classes):
        crowd = table.crowd[table.labels == label]
        if crowd.mean() > _MOSTLY if crowd.size else False:
            reason = (
                f'{int(crowd.sum())} of {len(crowd)} objects of {name!r} are crowd regions '
                f'(iscrowd=1, difficult in VOC), which are not learned. Some tools write it for '
                f'every mask in run lengths: set iscrowd to 0 where an object is a single one'
            )
            report.problems.append(Problem(report.file, 'annotations', reason, fatal=False))


def _note_repeated(table: AnnotationTable, report: AnnotationReport) -> None:
    """Warnings about files that are two images, and about many boxes that are two objects."""
    seen: set[str] = set()
    again = [name for name in table.file_names if name in seen or seen.add(name)]
    if again:
        reason = (
            f'{plural(len(again), "image is", "images are")} of a file that another image has, '
            f'such as {again[0]}: objects of one are background in the other. Give them one id'
        )
        report.problems.append(Problem(report.file, 'images', reason, fatal=False))
    boxes = _repeated_boxes(table)
    if boxes.sum() > _OFTEN * len(boxes):
        report.problems.append(_about(table, boxes, _REPEATED))


def _repeated_boxes(table: AnnotationTable) -> np.ndarray:
    """(m,) the second and later of boxes with equal image, label and corners, to a pixel."""
    rows = np.column_stack([table.image_rows, table.labels, table.boxes.round().astype(np.int64)])
    # One number for each row, since sorting rows takes seconds for COCO.
    keys = rows @ np.random.default_rng(0).integers(1, 1 << 62, rows.shape[1])
    again = np.ones(len(rows), bool)
    again[np.unique(keys, return_index=True)[1]] = False
    return again & ~table.crowd


def _note_single_class(report: AnnotationReport) -> None:
    """A warning where all objects of several classes are of one."""
    present = [name for name, boxes in report.by_class.items() if boxes]
    if len(present) == 1 < len(report.by_class):
        reason = (
            f'all objects are of one class, {present[0]!r}, of {len(report.by_class)}: the others '
            f'are never learned; are the classes of the labels right?'
        )
        report.problems.append(Problem(report.file, 'annotations', reason, fatal=False))


def suspicious_boxes(table: AnnotationTable) -> list[Problem]:
    """Warnings about boxes (m,) that can be learned, but are mistakes in most data sets."""
    x1, y1, x2, y2 = table.boxes.T
    height, width = table.sizes[table.image_rows].T
    repeated = _repeated_boxes(table)
    if repeated.sum() > _OFTEN * len(repeated):  # ``select`` tells of them
        repeated[:] = False
    kinds = {
        _REPEATED: repeated,
        f'a side below {_THIN} pixels': np.minimum(x2 - x1, y2 - y1) < _THIN,
        'the size of their whole image': (x2 - x1) * (y2 - y1) >= _WHOLE * width * height,
    }
    found = {what: boxes & ~table.crowd for what, boxes in kinds.items()}
    return [_about(table, boxes, what) for what, boxes in found.items() if boxes.any()]


def _about(table: AnnotationTable, boxes: np.ndarray, what: str) -> Problem:
    """A warning about some boxes (m,), of which the first is shown."""
    i = int(np.argmax(boxes))
    name, label = table.file_names[table.image_rows[i]], table.classes[table.labels[i]]
    corners = [round(float(edge), 1) for edge in table.boxes[i]]
    reason = (
        f'{plural(int(boxes.sum()), "box has", "boxes have")} {what}: such as {label!r} '
        f'with the corners {corners} in {name}'
    )
    return Problem(table.file, '', reason, fatal=False)


def _check_classes(wanted: tuple[str, ...], report: AnnotationReport) -> None:
    """Refuse classes that are misspelt; a file may lack some of those that other files have."""
    if not wanted:
        raise DataError(f'{report.file}: the file names no classes')
    if len(set(wanted)) < len(wanted):
        raise DataError(f'classes={wanted} names a class twice')
    # 1. A class that the file lacks is misspelt if a similar name of the file is not asked for.
    absent = [name for name in wanted if name not in report.classes]
    others = [name for name in report.classes if name not in wanted]
    similar = {name: nearest(name.lower(), [o.lower() for o in others]) for name in absent}
    misspelt = [name for name in absent if similar[name]]
    if misspelt or len(absent) == len(wanted):
        name = (misspelt or absent)[0]
        known = plural(len(report.classes), 'class', 'classes')
        raise DataError(
            f'{report.file} has no class {name!r}{nearest(name, others)}\n'
            f'  the file has {known}: {_listed(report.classes)}\n'
            f'  the config wants {len(wanted)}: {_listed(wanted)}\n'
            f'  {report}'
        )
    # 2. Otherwise it may be in another file.
    if absent:
        reason = f'the file lacks {_listed(absent)} of the {len(wanted)} classes of the config'
        report.problems.append(Problem(report.file, 'classes', reason, fatal=False))
    if report.images_kept == 0:
        doubts = ''.join(f'\n  {problem}' for problem in report.problems if not problem.fatal)
        raise DataError(f'no image is left to use; {report}{doubts}')


def _listed(names: Sequence[str]) -> str:
    return ', '.join(names[:20]) + (f', ... ({len(names) - 20} more)' if len(names) > 20 else '')
