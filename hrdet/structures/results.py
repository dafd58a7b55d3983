"""Results of models: detections, class scores, label maps; and the proposals of detectors."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hrdet.structures.result_files import DetectionsFile, LabelMapsFile, ResultFile, ScoresFile


class Result(ABC):
    """What a model returns for one image; each task has a subclass, a dataclass.

    How a kind is drawn is registered in ``hrdet.visualize``.
    """

    __slots__ = ()

    @abstractmethod
    def numpy(self) -> 'Result':
        """The same result as numpy arrays."""

    def prediction(self, classes: Sequence[str]) -> Any:
        """What ``hrdet.inference_model`` returns: the result itself, or the form users know."""
        return self

    @staticmethod
    def open_file(folder: Path, classes: Sequence[str]) -> ResultFile:
        """A file in ``folder`` for many results of this kind; ``classes`` name their labels."""
        raise TypeError('this kind of result has no file: give its class an open_file')


@dataclass(slots=True)
class Proposals:
    """Candidate boxes of a batch: N images, P rows each, best first; pixels of the input."""

    boxes: Tensor  # (N, P, 4)
    scores: Tensor  # (N, P)
    valid: Tensor  # (N, P) bool: rows that hold a proposal


@dataclass(slots=True)
class Detections(Result):
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
        """The detections with at least this score, as arrays."""
        arrays = self.numpy()
        keep = arrays.scores >= score
        masks = self.masks and [mask for mask, stays in zip(self.masks, keep) if stays]
        return Detections(arrays.boxes[keep], arrays.scores[keep], arrays.labels[keep], masks)

    @staticmethod
    def open_file(folder: Path, classes: Sequence[str]) -> DetectionsFile:
        return DetectionsFile(folder, classes)

    def to_coco(
        self, image_id: int | str = 0, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """COCO results: dicts of image_id, category_id, bbox (x, y, w, h), score, segmentation.

        ``category_ids`` are the COCO ids of labels 0..K-1 (a data set's ``category_ids``); without
        them the ids count from 1 in the order of the labels.
        """
        arrays = self.numpy()
        results = []
        # Continuous corners to x, y, width, height.
        for index, (x1, y1, x2, y2) in enumerate(arrays.boxes.tolist()):
            label = int(arrays.labels[index])
            result = {
                'image_id': image_id,
                'category_id': label + 1 if category_ids is None else int(category_ids[label]),
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'score': float(arrays.scores[index]),
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


@dataclass(slots=True)
class ClassScores(Result):
    """The probability of each class for one image."""

    scores: Tensor | np.ndarray  # (K,), sums to 1

    def numpy(self) -> 'ClassScores':
        """The same scores as a float32 array."""
        return ClassScores(_array(self.scores, np.float32))

    @property
    def label(self) -> int:
        """The most probable class, in 0..K-1."""
        return int(self.scores.argmax())

    def top(self, count: int) -> list[tuple[int, float]]:
        """The most probable classes, at most ``count``, as pairs of label and score; best first."""
        scores = self.numpy().scores
        return [(int(k), float(scores[k])) for k in np.argsort(-scores, kind='stable')[:count]]

    def prediction(self, classes: Sequence[str]) -> dict[str, Any]:
        """mmpretrain's form: names, label and scores in a dict."""
        scores, label = self.numpy().scores, self.label
        return dict(
            pred_scores=scores,
            pred_label=label,
            pred_score=float(scores[label]),
            pred_class=classes[label],
        )

    @staticmethod
    def open_file(folder: Path, classes: Sequence[str]) -> ScoresFile:
        return ScoresFile(folder, classes)


@dataclass(slots=True)
class LabelMap(Result):
    """The most probable class of every pixel of one image, in pixels of the original image.

    ``np.asarray(label_map)`` is the array of labels.
    """

    labels: Tensor | np.ndarray  # (h, w) uint8, in 0..K-1
    logits: Tensor | np.ndarray | None = None  # (K, h, w), only on request
    classes: tuple[str, ...] | None = None  # names of the labels, and their colours as RGB
    palette: tuple[tuple[int, int, int], ...] | None = None

    def numpy(self) -> 'LabelMap':
        """The same map as arrays: uint8 labels, float32 logits."""
        logits = None if self.logits is None else _array(self.logits, np.float32)
        return replace(self, labels=_array(self.labels, np.uint8), logits=logits)

    @staticmethod
    def open_file(folder: Path, classes: Sequence[str]) -> LabelMapsFile:
        return LabelMapsFile(folder, classes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(_array(self.labels, np.uint8), dtype=dtype, copy=copy)


def _array(values: Tensor | np.ndarray, dtype: type) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values, dtype)
