"""Operators of hrdet, and of PyTorch where its exporter lacks them, as graphs of ONNX's.

B independent problems of NMS with M boxes each, S boxes that survive; R regions, R_l of one level.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import FLOAT, INT64
from onnxscript import opset18 as op

_LOWEST = torch.finfo(torch.float32).min


def translations() -> dict[Any, Callable]:
    """What ``torch.onnx.export`` takes as ``custom_translation_table``."""
    return {
        torch.ops.hrdet.nms.default: nms,
        torch.ops.hrdet.roi_align.default: roi_align,
        torch.ops.aten.sort.stable: stable_sort,
    }


def nms(boxes: FLOAT, scores: FLOAT, iou_threshold: float, max_output: int) -> tuple:
    """``hrdet.ops.nms`` of boxes (B, M, 4) and scores (B, M)."""
    # 1. Rows (S, 3) of problem, class (always 0) and box, by descending score in each problem.
    #    Scores of -inf and NaN are not above the lowest number.
    selected = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, _ints(1)),
        _ints(max_output),
        _floats(iou_threshold),
        _floats(_LOWEST),
    )
    problem, _, box = op.Split(selected, axis=1, num_outputs=3)  # (S, 1) each
    # 2. How many rows each problem has (B,), and where they begin; the rank of a row in its
    #    problem.
    row = op.Squeeze(problem, _ints(1))
    one = op.Expand(_ints(1), op.Shape(row))  # (S,)
    problems = op.Shape(boxes, start=0, end=1)
    counts = op.ScatterElements(op.Expand(_ints(0), problems), row, one, axis=0, reduction='add')
    begin = op.CumSum(counts, op.Constant(value_int=0), exclusive=1)
    total = op.Squeeze(op.Shape(row))
    position = op.Range(op.Constant(value_int=0), total, op.Constant(value_int=1))
    rank = op.Sub(position, op.Gather(begin, row))
    # 3. Boxes and validity at (problem, rank), 0 elsewhere: (B, max_output) each.
    target = op.Concat(problem, op.Unsqueeze(rank, _ints(1)), axis=1)
    empty = op.Expand(_ints(0), op.Concat(problems, _ints(max_output), axis=0))
    indices = op.ScatterND(empty, target, op.Squeeze(box, _ints(1)))
    valid = op.Cast(op.ScatterND(empty, target, one), to=9)  # to bool
    return indices, valid


def roi_align(
    features: Sequence[FLOAT],
    rois: FLOAT,
    levels: INT64 | None,
    scales: Sequence[float],
    finest_scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    half_pixel: bool,
) -> FLOAT:
    """``hrdet.ops.roi_align`` of rois (R, 5)."""
    # 1. Image (R,) and box (R, 4) of each region; padding has image -1.
    image = op.Cast(op.Squeeze(op.Slice(rois, _ints(0), _ints(1), _ints(1)), _ints(1)), to=7)
    boxes = op.Slice(rois, _ints(1), _ints(5), _ints(1))
    valid = op.GreaterOrEqual(image, _ints(0))
    # 2. Its level (R,): how many of the sizes 2, 4, ... times the finest its own one reaches.
    if levels is None and len(scales) > 1:
        x1, y1, x2, y2 = op.Split(boxes, axis=1, num_outputs=4)
        size = op.Sqrt(op.Mul(op.Sub(x2, x1), op.Sub(y2, y1)))
        size = op.Add(op.Div(size, _floats(finest_scale)), _floats(1e-6))  # (R, 1)
        limits = _floats(*(2.0**level for level in range(1, len(scales))))
        reached = op.Cast(op.GreaterOrEqual(size, limits), to=7)  # (R, levels - 1)
        levels = op.ReduceSum(reached, _ints(1), keepdims=0)
    # 3. RoIAlign of each level's regions alone (R_l, C, height, width).  Where the first pixel's
    #    centre is at 0, boxes move by half a pixel to where ONNX expects it; its other mode would
    #    also widen boxes to a whole pixel.
    rows, parts = [], []
    for level, (maps, scale) in enumerate(zip(features, scales)):
        chosen = valid if levels is None else op.And(valid, op.Equal(levels, _ints(level)))
        index = op.Squeeze(op.NonZero(chosen), _ints(0))
        shift = 0.0 if half_pixel else 0.5 / scale
        part = op.RoiAlign(
            maps,
            op.Add(op.Gather(boxes, index), _floats(shift)),
            op.Gather(image, index),
            coordinate_transformation_mode='half_pixel',
            mode='avg',
            output_height=height,
            output_width=width,
            sampling_ratio=sampling_ratio,
            spatial_scale=scale,
        )
        rows.append(index)
        parts.append(part)
    # 4. Back in the order of the regions; padding is 0.
    shape = op.Concat(
        op.Shape(rois, start=0, end=1),
        op.Shape(features[0], start=1, end=2),
        _ints(height, width),
        axis=0,
    )
    return op.ScatterND(
        op.Expand(_floats(0.0), shape),
        op.Unsqueeze(op.Concat(*rows, axis=0), _ints(1)),
        op.Concat(*parts, axis=0),
    )


def stable_sort(
    values: FLOAT, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple:
    """``torch.sort``; of equal values TopK takes the lower index first, so it is stable."""
    count = op.Gather(op.Shape(values), _ints(dim))
    return op.TopK(values, count, axis=dim, largest=int(descending), sorted=1)


def _ints(*values: int):
    return op.Constant(value_ints=list(values))


def _floats(*values: float):
    return op.Constant(value_floats=list(values))
