"""Annotations of a data set as columns, what is wrong with them, and what filters drop.

Numpy columns instead of dicts: all of COCO's training boxes take 30 MB, and data loader workers
share them.  n images, m boxes.
"""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from hrdet.wording import counted

MAX_LISTED = 5  # problems that an error or a warning spells out


class DataError(ValueError):
    """A data set that cannot be used as it is: the message names the file and the cure."""


class DataWarning(UserWarning):
    """Something odd in a data set that does not stop it from being used."""


@dataclass(slots=True)
class Problem:
    """One thing that is wrong in a file."""

    file: str
    where: str  # 'annotations[3] (id 17)'
    reason: str
    fatal: bool  # the data set does not load; otherwise the item is dropped or clipped

    def __str__(self) -> str:
        return ': '.join(part for part in (self.file, self.where, self.reason) if part)


@dataclass(slots=True)
class AnnotationTable:
    """Images and their boxes, the boxes grouped by image in the order of the file."""

    file: str
    image_ids: list
    file_names: list[str]
    sizes: np.ndarray  # (n, 2) int64 as (h, w)
    category_ids: tuple[int, ...]
    classes: tuple[str, ...]
    image_rows: np.ndarray  # (m,) int64, ascending: the image that a box is on
    boxes: np.ndarray  # (m, 4) float32, continuous
    areas: np.ndarray  # (m,) float64: of the mask where the file has it
    labels: np.ndarray  # (m,) int64 into classes
    crowd: np.ndarray  # (m,) bool
    flagged: np.ndarray  # (m,) bool: the file itself says "ignore"
    segmentations: list | None = None  # m times: polygons as float64 arrays, or an RLE dict

    def rows_of(self, image: int) -> slice:
        """The rows of the boxes on one image."""
        start, stop = np.searchsorted(self.image_rows, [image, image + 1])
        return slice(int(start), int(stop))

    def keep_boxes(self, keep: np.ndarray) -> 'AnnotationTable':
        """The table with the boxes marked in ``keep`` (m,)."""
        columns = ('image_rows', 'boxes', 'areas', 'labels', 'crowd', 'flagged')
        changed = {name: getattr(self, name)[keep] for name in columns}
        if self.segmentations is not None:
            changed['segmentations'] = [self.segmentations[i] for i in np.flatnonzero(keep)]
        return replace(self, **changed)

    def keep_images(self, keep: np.ndarray) -> 'AnnotationTable':
        """The table with the images marked in ``keep`` (n,) and their boxes."""
        table = self.keep_boxes(keep[self.image_rows])
        rows = np.flatnonzero(keep)
        return replace(
            table,
            image_ids=[self.image_ids[i] for i in rows],
            file_names=[self.file_names[i] for i in rows],
            sizes=self.sizes[rows],
            image_rows=np.searchsorted(rows, table.image_rows),
        )

    def to_coco(self) -> dict:
        """The table as a COCO ground-truth dict, without segmentations."""
        images = [
            {'id': image_id, 'file_name': name, 'height': h, 'width': w}
            for image_id, name, (h, w) in zip(self.image_ids, self.file_names, self.sizes.tolist())
        ]
        annotations = [
            {
                'id': i + 1,
                'image_id': self.image_ids[self.image_rows[i]],
                'category_id': self.category_ids[self.labels[i]],
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'area': float(self.areas[i]),
                'iscrowd': int(self.crowd[i]),
            }
            for i, (x1, y1, x2, y2) in enumerate(self.boxes.tolist())
        ]
        categories = [{'id': i, 'name': n} for i, n in zip(self.category_ids, self.classes)]
        return {'images': images, 'annotations': annotations, 'categories': categories}


@dataclass(slots=True)
class AnnotationReport:
    """How many images and boxes a file has and how many each filter dropped."""

    file: str
    classes: tuple[str, ...]  # those of the file
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

        boxes = counted(self.boxes_kept, 'box', 'boxes')
        crowds = counted(self.crowds_kept, 'crowd region')
        return (
            f'{self.file}: {self.images_kept} of {counted(self.images, "image")}'
            f'{listed(self.dropped_images)}, {boxes} and {crowds} of {self.boxes}'
            f'{listed(self.dropped_boxes)}'
        )


def raise_or_warn(problems: list[Problem]) -> None:
    """Stop on fatal problems, warn of the others, spelling out the first few of them."""
    fatal = [problem for problem in problems if problem.fatal]
    listed = fatal or problems
    if not listed:
        return
    lines = [str(problem) for problem in listed[:MAX_LISTED]]
    if len(listed) > MAX_LISTED:
        lines.append(f'... and {len(listed) - MAX_LISTED} more; tools/check_dataset.py lists all')
    if fatal:
        raise DataError('\n'.join(lines))
    warnings.warn('\n'.join(lines), DataWarning, stacklevel=2)
