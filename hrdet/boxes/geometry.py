"""Boxes in an image: their convention, clipping, scaling and mirroring, areas and overlaps.

A boxes of one set, G of another.  A box whose corners are swapped is empty: its area is 0.
Clipping, scaling and mirroring take numpy arrays (data) as well as tensors (models) and return the
same kind.
"""

import enum
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar('Array', np.ndarray, Tensor)


class BoxConvention(str, enum.Enum):
    """The meaning of a model's box corners, and the other differences between the releases.

    Every difference is one value below; code that takes a convention reads these values and never
    tests which of the two it is.
    """

    INCLUSIVE = 'inclusive'  # the last pixel: HRNet-Object-Detection, mmdetection 0.6 and 1.x
    CONTINUOUS = 'continuous'  # the far edge: mmdetection 2 and 3

    def __init__(self, value: str) -> None:
        inclusive = value == 'inclusive'
        # Boxes: far corner of a stored (continuous) box minus the model's own corner.
        self.offset = 1 if inclusive else 0
        # Anchors: base anchors lie around the middle of their stride's pixels, rounded to whole
        # pixels, instead of around 0.
        self.rounded_anchors = inclusive
        # FCOS points: half an odd stride is rounded down.
        self.rounded_points = inclusive
        # RPN: proposals with a side of exactly ``min_bbox_size`` stay.  Clipping leaves no size to
        # a continuous box outside of its image, so there they go.
        self.min_size_stays = inclusive
        # RoIAlign: the centre of the first feature pixel is at 0.5, and sizes are not clamped.
        self.half_pixel = not inclusive
        # Masks: targets are crops of whole pixels, resized as OpenCV does; results are pasted into
        # whole pixels.  Otherwise both are sampled at subpixel positions.
        self.whole_pixel_masks = inclusive
        # FCOS: candidates are pairs of point and class instead of points, of a size above
        # ``min_bbox_size``; the losses' divisors are means over all processes.
        self.fcos_candidate_pairs = not inclusive
        self.fcos_global_divisors = not inclusive
        # Semantic head: the loss is a mean over all pixels, also those without a label.
        self.semantic_mean_of_all = not inclusive


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


def flip_boxes(boxes: Array, width: float) -> Array:
    """Boxes (..., 4), tensor or numpy array, mirrored left to right in an image of ``width``."""
    x1, y1, x2, y2 = _columns(boxes)
    return _stack(width - x2, y1, width - x1, y2)


def box_area(boxes: Tensor) -> Tensor:
    """Areas (...) of boxes (..., 4) in square pixels."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def pairwise_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union (..., A, G) of boxes (..., A, 4) and (..., G, 4).

    0 for a pair of empty boxes; symmetric to the last bit; fastest when the longer set is second.
    """
    overlap, area1, area2 = _pairwise(boxes1, boxes2)
    return _divide(overlap, area1 + area2 - overlap)


def pairwise_iof(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection (..., A, G) over the area of the first, the foreground; 0 if that is 0."""
    overlap, area1, _ = _pairwise(boxes1, boxes2)
    return _divide(overlap, area1)


def aligned_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union (...) of each box (..., 4) with the one in the same row."""
    overlap = _intersection(boxes1.unbind(-1), boxes2.unbind(-1))
    return _divide(overlap, box_area(boxes1) + box_area(boxes2) - overlap)


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


def _pairwise(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    columns1 = [column.unsqueeze(-1) for column in boxes1.unbind(-1)]  # four of (..., A, 1)
    # Contiguous columns let the innermost loop run over the second set at full speed.
    columns2 = boxes2.mT.contiguous().unsqueeze(-3).unbind(-2)  # four of (..., 1, G)
    overlap = _intersection(columns1, columns2)
    return overlap, box_area(boxes1).unsqueeze(-1), box_area(boxes2).unsqueeze(-2)


def _intersection(columns1, columns2) -> Tensor:
    left1, top1, right1, bottom1 = columns1
    left2, top2, right2, bottom2 = columns2
    # Disjoint boxes have negative sides: their overlap is 0.
    width = (right1.minimum(right2) - left1.maximum(left2)).clamp(min=0)
    height = (bottom1.minimum(bottom2) - top1.maximum(top2)).clamp(min=0)
    return width * height


def _divide(overlap: Tensor, area: Tensor) -> Tensor:
    # Where the area is 0 the overlap is 0 too.
    return overlap / area.clamp(min=torch.finfo(area.dtype).tiny)
