"""Boxes: geometry, encoding as deltas, anchors and points, as functions of tensors.

May change: a new coder or point generator is a class beside the others.  Must stay: functions know
tensors only, and what the 2019 models do differently is a value of the convention, tested against
golden data.

A box is ``(x1, y1, x2, y2)`` in continuous pixel coordinates, with the width ``x2 - x1``; sizes are
``(h, w)``, scales ``(x, y)``.  The inclusive boxes of the 2019 releases, with the width
``x2 - x1 + 1``, are stored as ``(x1, y1, x2 + 1, y2 + 1)``; all other differences of convention
are values of ``BoxConvention``.
"""

from hrdet.boxes.anchors import AnchorGenerator
from hrdet.boxes.coder import DeltaCoder
from hrdet.boxes.geometry import (
    BoxConvention,
    aligned_iou,
    box_area,
    clip_boxes,
    flip_boxes,
    pairwise_iof,
    pairwise_iou,
    scale_boxes,
)
from hrdet.boxes.points import (
    centerness,
    decode_distances,
    encode_distances,
    grid_points,
    per_point,
)

__all__ = [
    'AnchorGenerator',
    'BoxConvention',
    'DeltaCoder',
    'aligned_iou',
    'box_area',
    'centerness',
    'clip_boxes',
    'decode_distances',
    'encode_distances',
    'flip_boxes',
    'grid_points',
    'pairwise_iof',
    'pairwise_iou',
    'per_point',
    'scale_boxes',
]
