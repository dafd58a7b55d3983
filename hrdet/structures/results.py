"""What comes out of a model: proposals inside it, detections at its end."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(slots=True)
class Proposals:
    """Candidate boxes of a batch: N images, P rows each, best first; pixels of the input."""

    boxes: Tensor  # (N, P, 4)
    scores: Tensor  # (N, P)
    valid: Tensor  # (N, P) bool: rows that hold a proposal


@dataclass(slots=True)
class Detections:
    """The objects found on one image, best first; pixels of the original image."""

    boxes: Tensor | np.ndarray  # (D, 4)
    scores: Tensor | np.ndarray  # (D,)
    labels: Tensor | np.ndarray  # (D,) in 0..K-1
    masks: list[dict] | None = None  # D COCO RLE masks of the original size; None: boxes only

    def __len__(self) -> int:
        return len(self.scores)

    def numpy(self) -> 'Detections':
        """The same detections as arrays: float32 boxes and scores, int64 labels."""
        return Detections(
            _array(self.boxes, np.float32).reshape(-1, 4),
            _array(self.scores, np.float32),
            _array(self.labels, np.int64),
            self.masks,
        )

    def above(self, score: float) -> 'Detections':
        """Those with at least this score, as arrays."""
        found = self.numpy()
        keep = found.scores >= score
        masks = self.masks and [mask for mask, kept in zip(self.masks, keep) if kept]
        return Detections(found.boxes[keep], found.scores[keep], found.labels[keep], masks)

    def to_coco(
        self, image_id: int | str = 0, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """COCO results: dicts of image_id, category_id, bbox (x, y, w, h), score, segmentation.

        ``category_ids`` are the COCO ids of labels 0..K-1 (a data set's ``category_ids``); without
        them the ids count from 1 in the order of the labels.
        """
        found = self.numpy()
        results = []
        for index, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
            label = int(found.labels[index])
            result = {
                'image_id': image_id,
                'category_id': label + 1 if category_ids is None else int(category_ids[label]),
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'score': float(found.scores[index]),
            }
            if self.masks is not None:
                counts = self.masks[index]['counts']
                result['segmentation'] = {
                    'size': list(self.masks[index]['size']),
                    'counts': counts.decode() if isinstance(counts, bytes) else counts,
                }
            results.append(result)
        return results

    def save(
        self,
        path: str | os.PathLike,
        image_id: int | str = 0,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        """Write ``to_coco(image_id, category_ids)`` to a .json file."""
        path = Path(path)
        if path.suffix != '.json':
            raise ValueError(
                f'{path}: detections are saved as .json; for a picture of them use '
                f'hrdet.visualize.save_picture(image, detections, path)'
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_coco(image_id, category_ids)))


def _array(values: Tensor | np.ndarray, dtype: type) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values, dtype)
