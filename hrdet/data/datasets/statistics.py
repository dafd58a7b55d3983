"""How many labels of each class a data set has, and where its boxes are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hrdet.structures.truth import SEMANTIC_IGNORE

if TYPE_CHECKING:
    from hrdet.data.datasets.base import ImageDataset

_MAPS = 32  # label maps that are read, spread over the data set


@dataclass(slots=True)
class LabelStatistics:
    """The labels of a data set."""

    classes: tuple[str, ...]
    unit: str  # of the counts: 'objects', 'images' or 'pixels'
    counts: np.ndarray  # (K,)
    # (m, 4) centre x, y, width, height of all boxes, as fractions of their images; None: no boxes.
    boxes: np.ndarray | None = None


def label_statistics(dataset: 'ImageDataset') -> LabelStatistics | None:
    """Of all parts of a data set, each image once; None where it has no labels."""
    parts = [part.label_statistics() for part in dataset.parts()]
    if not parts or None in parts:
        return None
    boxes = None if parts[0].boxes is None else np.concatenate([part.boxes for part in parts])
    counts = sum(part.counts for part in parts)
    return LabelStatistics(parts[0].classes, parts[0].unit, counts, boxes)


def of_boxes(
    classes: tuple[str, ...], boxes: np.ndarray, labels: np.ndarray, sizes: np.ndarray
) -> LabelStatistics:
    """Of boxes (m, 4) on images of ``sizes`` (m, 2) as (h, w)."""
    counts = np.bincount(labels, minlength=len(classes))
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    fractions = np.concatenate((centres, sides), axis=1) / np.tile(sizes[:, ::-1], 2)
    return LabelStatistics(classes, 'objects', counts, fractions)


def of_maps(dataset: 'ImageDataset') -> LabelStatistics:
    """Of the pixels of a few label maps."""
    indices = np.linspace(0, len(dataset) - 1, min(_MAPS, len(dataset))).round().astype(int)
    counts = np.zeros(256, np.int64)
    for index in indices.tolist():
        counts += np.bincount(dataset.truth(index).labels.reshape(-1), minlength=256)
    counts[SEMANTIC_IGNORE] = 0
    return LabelStatistics(dataset.classes, 'pixels', counts[: len(dataset.classes)])
