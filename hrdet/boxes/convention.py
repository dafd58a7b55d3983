"""Where the inclusive boxes of 2019 and continuous boxes differ: clipping and scaling.

Both functions take numpy arrays (data) as well as tensors (models) and return the same kind.
"""

import enum
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar('Array', np.ndarray, Tensor)


class BoxConvention(str, enum.Enum):
    """What the corners of a model's boxes mean."""

    INCLUSIVE = 'inclusive'  # the last pixel: HRNet-Object-Detection, mmdetection 0.6 and 1.x
    CONTINUOUS = 'continuous'  # the far edge: mmdetection 2 and 3

    @property
    def offset(self) -> int:
        """What the far corner of a stored box exceeds the model's own corner by."""
        return 1 if self is BoxConvention.INCLUSIVE else 0


def clip_boxes(
    boxes: Array, sizes: Array | Sequence[float], convention: BoxConvention | str
) -> Array:
    """Boxes (..., 4) moved into images of ``sizes`` (h, w), which broadcast as (..., 2).

    Continuous corners end in [0, W]; inclusive ones in [0, W - 1], which leaves a box outside the
    image one pixel wide at its border.
    """
    offset = BoxConvention(convention).offset
    height, width = _pair(sizes)
    x1, y1, x2, y2 = _columns(boxes)
    return _stack(
        _between(x1, 0, width - offset),
        _between(y1, 0, height - offset),
        _between(x2, offset, width),
        _between(y2, offset, height),
    )


def scale_boxes(
    boxes: Array, scale: Array | Sequence[float], convention: BoxConvention | str
) -> Array:
    """Boxes (..., 4) times ``scale`` (x, y), which broadcasts as (..., 2).

    Inclusive boxes are scaled on their inclusive corners, as the 2019 releases do.
    """
    offset = BoxConvention(convention).offset
    x, y = _pair(scale)
    x1, y1, x2, y2 = _columns(boxes)
    return _stack(x1 * x, y1 * y, (x2 - offset) * x + offset, (y2 - offset) * y + offset)


def _pair(values):
    if isinstance(values, np.ndarray | Tensor):
        return values[..., 0], values[..., 1]
    return values


def _columns(boxes):
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def _between(values, low, high):
    if isinstance(values, Tensor):
        values = values.clamp(min=low)
        return values.minimum(high) if isinstance(high, Tensor) else values.clamp(max=high)
    return np.minimum(np.maximum(values, low), high)


def _stack(*columns):
    return (torch if isinstance(columns[0], Tensor) else np).stack(columns, -1)
