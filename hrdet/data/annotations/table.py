"""The annotations of a data set as columns.

Numpy columns instead of dicts: all of COCO's training boxes take 30 MB, and data loader workers
share them.  n images, m boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as coco_mask

_OUTSIDE = 0.01  # of an image: how far rounding may take a box over its edge


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

    @classmethod
    def of_objects(
        cls,
        file: str,
        file_names: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        classes: Sequence[str],
        objects: Sequence[tuple],
    ) -> 'AnnotationTable':
        """The table of a format whose images have no ids: they are numbered from 1.

        Args:
            file: what messages call the table.
            file_names: n names.
            sizes: n times (h, w).
            classes: names in the order of the labels; category ids count from 1.
            objects: by image, m times (image row, label, box, segmentation): the box as continuous
                corners, or None where the segmentation gives it; polygons as float64 arrays, an
                RLE dict, or None.
        """
        # Boxes (m, 4), and areas (m,): of the mask where there is one, else of the box.
        boxes = [_bounds(mask) if box is None else box for _, _, box, mask in objects]
        boxes = np.array(boxes, np.float64).reshape(-1, 4)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        masks = [mask for *_, mask in objects]
        for i, mask in enumerate(masks):
            if mask is not None:
                areas[i] = _area(mask)
        return cls(
            file=file,
            image_ids=list(range(1, len(file_names) + 1)),
            file_names=list(file_names),
            sizes=np.array(sizes, np.int64).reshape(-1, 2),
            category_ids=tuple(range(1, len(classes) + 1)),
            classes=tuple(classes),
            image_rows=np.array([row for row, *_ in objects], np.int64),
            boxes=boxes.astype(np.float32),
            areas=areas,
            labels=np.array([label for _, label, *_ in objects], np.int64),
            crowd=np.zeros(len(objects), bool),
            flagged=np.zeros(len(objects), bool),
            segmentations=masks,
        )

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
        # Boxes of images that go, go too; the others are renumbered.
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


def box_doubt(part: np.ndarray | list | dict, size: tuple[int, int]) -> str:
    """Why a box (4,), or that around a segmentation, is doubtful in an image of (h, w); or ''."""
    box = part if isinstance(part, np.ndarray) else _bounds(part)
    h, w = size
    shown = [round(float(edge), 2) for edge in box]
    if box[0] >= box[2] or box[1] >= box[3]:
        return f'a box of zero size: corners {shown}'
    if np.max([-box[:2] / [w, h], box[2:] / [w, h] - 1]) > _OUTSIDE:
        return f'the box with corners {shown} leaves its image of {w} x {h} pixels'
    return ''


def _bounds(mask: list | dict) -> np.ndarray:
    """The box (4,) around polygons or an RLE."""
    if isinstance(mask, dict):
        x, y, w, h = coco_mask.toBbox(mask)
        return np.array([x, y, x + w, y + h])
    points = np.concatenate([polygon.reshape(-1, 2) for polygon in mask])
    return np.concatenate([points.min(0), points.max(0)])


def _area(mask: list | dict) -> float:
    """Pixels inside polygons, by the shoelace formula, or of an RLE."""
    if isinstance(mask, dict):
        return float(coco_mask.area(mask))
    area = 0.0
    for polygon in mask:
        x, y = polygon.reshape(-1, 2).T
        area += abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    return area
