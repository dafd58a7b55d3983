"""The annotations of a data set as columns.

Numpy columns instead of dicts: all of COCO's training boxes take 30 MB, and data loader workers
share them.  n images, m boxes.
"""

from dataclasses import dataclass, replace

import numpy as np


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
