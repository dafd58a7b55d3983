"""Areas and overlaps of continuous boxes.

A boxes of one set, G of another.  A box whose corners are swapped is empty: its area is 0.
"""

import torch
from torch import Tensor

from hrdet.boxes.convention import Array, _columns, _stack


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


def flip_boxes(boxes: Array, width: float) -> Array:
    """Boxes (..., 4), tensor or numpy array, mirrored left to right in an image of ``width``."""
    x1, y1, x2, y2 = _columns(boxes)
    return _stack(width - x2, y1, width - x1, y2)


def _pairwise(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    columns1 = [column.unsqueeze(-1) for column in boxes1.unbind(-1)]
    # Contiguous columns let the innermost loop run over the second set at full speed.
    columns2 = boxes2.mT.contiguous().unsqueeze(-3).unbind(-2)
    overlap = _intersection(columns1, columns2)
    return overlap, box_area(boxes1).unsqueeze(-1), box_area(boxes2).unsqueeze(-2)


def _intersection(columns1, columns2) -> Tensor:
    left1, top1, right1, bottom1 = columns1
    left2, top2, right2, bottom2 = columns2
    width = (right1.minimum(right2) - left1.maximum(left2)).clamp(min=0)
    height = (bottom1.minimum(bottom2) - top1.maximum(top2)).clamp(min=0)
    return width * height


def _divide(overlap: Tensor, area: Tensor) -> Tensor:
    # Where the area is 0 the overlap is 0 too.
    return overlap / area.clamp(min=torch.finfo(area.dtype).tiny)
