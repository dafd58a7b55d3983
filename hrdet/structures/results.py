"""Results of models: detections, class scores, label maps; and the proposals of detectors."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

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


class Detection(NamedTuple):
    """One object of an image."""

    box: np.ndarray  # (4,)
    score: float
    label: int
    mask: dict | None = None  # COCO RLE
    name: str | None = None  # of the class, where the result knows its names


DetectionsT = TypeVar('DetectionsT', bound='Detections')


@dataclass(slots=True)
class Detections(Result):
    """The objects found on one image, best first; pixels of the original image.

    ``detections[0]`` is the first ``Detection``; a slice, a list of indices or a mask (D,) selects
    several, as ``Detections``.
    """

    boxes: Tensor | np.ndarray  # (D, 4)
    scores: Tensor | np.ndarray  # (D,)
    labels: Tensor | np.ndarray  # (D,) in 0..K-1
    masks: list[dict] | None = None  # D COCO RLE masks of the original size; None: boxes only

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        arrays = self.numpy()
        masks = [None] * len(self) if self.masks is None else self.masks
        columns = np.asarray(arrays.boxes), arrays.scores, arrays.labels, masks
        for box, score, label, mask in zip(*columns):
            yield Detection(box, float(score), int(label), mask)

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(
        self: DetectionsT, index: slice | Sequence[int] | np.ndarray
    ) -> DetectionsT: ...
    def __getitem__(
        self: DetectionsT, index: int | slice | Sequence[int] | np.ndarray
    ) -> Detection | DetectionsT:
        if isinstance(index, (int, np.integer)):
            row = range(len(self))[index]
            return next(iter(self[[row]]))
        rows = np.arange(len(self))[index]
        arrays = self.numpy()
        masks = None if self.masks is None else [self.masks[row] for row in rows]
        fields = dict(boxes=arrays.boxes, scores=arrays.scores, labels=arrays.labels)
        chosen = {name: values[rows] for name, values in fields.items()}
        return replace(arrays, masks=masks, **chosen)

    def numpy(self: DetectionsT) -> DetectionsT:
        """The same detections as arrays: float32 boxes and scores, int64 labels."""
        return replace(
            self,
            boxes=_array(self.boxes, np.float32).reshape(-1, 4),
            scores=_array(self.scores, np.float32),
            labels=_array(self.labels, np.int64),
        )

    def above(self: DetectionsT, score: float) -> DetectionsT:
        """The detections with at least this score, as arrays."""
        return self[_array(self.scores, np.float32) >= score]

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

    ``np.asarray(label_map)`` is the array of labels; indices and the length are the array's.
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

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w)."""
        return tuple(self.labels.shape)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(_array(self.labels, np.uint8), dtype=dtype, copy=copy)


def _array(values: Tensor | np.ndarray, dtype: type) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values, dtype)
