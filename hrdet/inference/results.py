"""The results of one image for users, by task: with the image and the names of its classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from hrdet.inference.image_result import ImageResult, Origin, optional
from hrdet.registry import nearest
from hrdet.structures import ClassScores, Detection, Detections, LabelMap
from hrdet.structures.result_files import prediction, write_label_map, write_plain


@dataclass(slots=True, repr=False)
class DetectionResult(ImageResult, Detections):
    """The detections of one image, best first.

    ``result[0]`` is one ``Detection`` with box, score, label, mask and name; a slice, a list of
    indices or a mask (D,) selects several.
    """

    origin: Origin = field(kw_only=True, compare=False)

    def __iter__(self) -> Iterator[Detection]:
        for detection in Detections.__iter__(self):
            yield detection._replace(name=self.names[detection.label])

    def to_coco(
        self, image_id: int | str = 0, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        return Detections.to_coco(self, image_id, category_ids)

    def save(
        self,
        path: str | os.PathLike[str],
        image_id: int | str = 0,
        category_ids: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        """Write ``to_coco(image_id, category_ids)`` to a .json file, else the picture."""
        if Path(path).suffix.lower() == '.json':
            Detections.save(self, path, image_id, category_ids)
        else:
            ImageResult.save(self, path, **options)

    def to_supervision(self) -> Any:
        """``supervision.Detections``."""
        arrays = self.numpy()
        masks = None if self.masks is None else _decoded(self.masks)
        return optional('supervision').Detections(
            xyxy=arrays.boxes,
            mask=masks,
            confidence=arrays.scores,
            class_id=arrays.labels,
            data={'class_name': np.array([self.names[k] for k in arrays.labels], dtype=str)},
        )

    def columns(self) -> Sequence[str]:
        return 'label', 'name', 'score', 'x1', 'y1', 'x2', 'y2'

    def rows(self) -> Iterable[Sequence[Any]]:
        return ((d.label, d.name, d.score, *d.box.tolist()) for d in self)

    def _summary(self) -> str:
        return _counted(detection.name for detection in self) or 'no objects'


class ClassificationResult(ImageResult, dict[str, Any]):
    """The class of one image, as mmpretrain's dict.

    Its keys are ``pred_class``, ``pred_label``, ``pred_score`` and ``pred_scores`` (K,).
    """

    __slots__ = ('origin', 'scores')

    def __init__(self, scores: ClassScores, origin: Origin) -> None:
        super().__init__(scores.prediction(origin.names))
        self.scores, self.origin = scores, origin

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scores, self.origin)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Names and scores of the most probable classes, best first."""
        return [(self.names[label], score) for label, score in self.scores.top(count)]

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """One dict: the most probable class, counted from 1, and its score."""
        category = self['pred_label'] + 1
        return [{'image_id': image_id, 'category_id': category, 'score': self['pred_score']}]

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the picture, or to a .json file the class and the five best."""
        if Path(path).suffix.lower() == '.json':
            write_plain(path, prediction(self.scores.top(5), self.names))
        else:
            ImageResult.save(self, path, **options)

    def to_supervision(self) -> Any:
        """``supervision.Classifications``."""
        return optional('supervision').Classifications(
            class_id=np.arange(len(self.names)), confidence=self['pred_scores']
        )

    def drawn(self) -> Any:
        return self.scores

    def columns(self) -> Sequence[str]:
        return 'label', 'name', 'score'

    def rows(self) -> Iterable[Sequence[Any]]:
        best = self.scores.top(len(self.names))
        return ((label, self.names[label], score) for label, score in best)

    def __repr__(self) -> str:
        return dict.__repr__(self)


@dataclass(slots=True, repr=False)
class SegmentationResult(ImageResult, LabelMap):
    """The label map of one image: ``np.asarray(result)`` (h, w); indices are the array's."""

    origin: Origin = field(kw_only=True, compare=False)

    def mask(self, name: str | int) -> np.ndarray:
        """(h, w) bool: the pixels of a class, by its name or label."""
        if isinstance(name, str) and name not in self.names:
            raise ValueError(f'there is no class {name!r}{nearest(name, self.names)}')
        return np.asarray(self) == (self.names.index(name) if isinstance(name, str) else name)

    def save_labels(self, path: str | Path) -> None:
        """Write the label map as a PNG whose pixels are the labels, coloured by the palette."""
        write_label_map(Path(path), np.asarray(self), self.palette)

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """A dict for each class of the image: category_id (label + 1), segmentation (RLE)."""
        results = []
        for label in self._present():
            mask: Any = coco_mask.encode(np.asfortranarray(self.mask(label), np.uint8))
            segmentation = {'size': list(mask['size']), 'counts': mask['counts'].decode()}
            results.append(
                {'image_id': image_id, 'category_id': label + 1, 'segmentation': segmentation}
            )
        return results

    def to_supervision(self) -> Any:
        """``supervision.Detections`` with a mask for each class of the image."""
        library, labels = optional('supervision'), self._present()
        masks = np.stack([self.mask(label) for label in labels])
        return library.Detections(
            xyxy=library.mask_to_xyxy(masks),
            mask=masks,
            class_id=np.array(labels),
            data={'class_name': np.array([self.names[label] for label in labels], dtype=str)},
        )

    def _present(self) -> list[int]:
        return np.unique(np.asarray(self)).tolist()

    def columns(self) -> Sequence[str]:
        return 'label', 'name', 'pixels', 'share'

    def rows(self) -> Iterable[Sequence[Any]]:
        labels, counts = np.unique(np.asarray(self), return_counts=True)
        total = int(counts.sum())
        pairs = zip(labels.tolist(), counts.tolist())
        return ((label, self.names[label], count, count / total) for label, count in pairs)

    def _summary(self) -> str:
        rows = sorted(self.rows(), key=lambda row: -row[2])
        return ', '.join(f'{name} {share:.0%}' for _, name, _, share in rows[:5])


@singledispatch
def present(result: Any, origin: Origin) -> Any:
    """The form in which users get a result; a kind that registers nothing has its own."""
    return result.prediction(origin.names)


@present.register
def _(result: Detections, origin: Origin) -> DetectionResult:
    return DetectionResult(**_fields(result), origin=origin)


@present.register
def _(result: ClassScores, origin: Origin) -> ClassificationResult:
    return ClassificationResult(result, origin)


@present.register
def _(result: LabelMap, origin: Origin) -> SegmentationResult:
    return SegmentationResult(**_fields(result), origin=origin)


def _fields(result: Any) -> dict[str, Any]:
    return {item.name: getattr(result, item.name) for item in fields(result)}


def _counted(names: Iterable[str | None]) -> str:
    """Such as ``2 person, 1 dog``, in the order of their first appearance."""
    counts: dict[str | None, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ', '.join(f'{count} {name}' for name, count in counts.items())


def _decoded(masks: Any) -> np.ndarray | None:
    """COCO RLEs as (D, h, w) bool; None where there are none, because their size is unknown."""
    return coco_mask.decode(masks).transpose(2, 0, 1).astype(bool) if masks else None
