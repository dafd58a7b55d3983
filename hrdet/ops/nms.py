"""Non-maximum suppression of many independent problems at once, with outputs of fixed size.

Soft-NMS: Bodla et al., arXiv 1704.04503.
"""

import torch
from torch import Tensor

from . import library


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, max_output: int
) -> tuple[Tensor, Tensor]:
    """Greedy NMS by score (ties: the lower index) of several problems in one call.

    B independent problems: images times levels, or images times classes. On CUDA the call does not
    synchronise, and the overlaps take 256 MiB at most (M ** 2 / 8 bytes where a single problem
    needs more, above 46,000 boxes).

    Args:
        boxes: (B, M, 4) continuous (x1, y1, x2, y2), or (M, 4) for one problem.
        scores: (B, M) or (M,). A row with score -inf (or NaN) is padding.
        iou_threshold: a box is dropped when its IoU with a kept box is greater than this.
        max_output: rows of the output; the best ones where more survive.

    Returns:
        ``indices`` (B, max_output) int64 into M, best score first, 0 where not valid; ``valid``
        (B, max_output) bool. Without the first axis for one problem.

    Raises:
        RuntimeError: wrong shapes, dtypes or devices.
    """
    if boxes.dim() == 2:
        return tuple(out[0] for out in nms(boxes[None], scores[None], iou_threshold, max_output))
    boxes, scores = _at_least_float32(boxes), _at_least_float32(scores)
    return library.operators.nms(boxes, scores, iou_threshold, max_output)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    min_score: float,
    method: str,
    sigma: float,
    max_output: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Soft-NMS: pick the best box, lower the scores of the boxes that overlap it, and repeat.

    As the 2019 releases have it, a box is dropped when its score falls below ``min_score`` at a
    picked box that it meets; a weak box that meets none stays.

    Args:
        boxes: (B, M, 4) continuous (x1, y1, x2, y2), or (M, 4) for one problem.
        scores: (B, M) or (M,). A row with score -inf (or NaN) is padding.
        iou_threshold: 'linear' lowers scores where the IoU is greater than this.
        min_score: the score below which a box is dropped.
        method: 'linear', times ``1 - IoU``; or 'gaussian', times ``exp(-IoU ** 2 / sigma)``.
        sigma: the width of 'gaussian'.
        max_output: rows of the output.

    Returns:
        ``indices`` (B, max_output) int64 in the order of picking, lowered ``scores``
        (B, max_output), ``valid`` (B, max_output) bool; 0 where not valid. Without the first axis
        for one problem.

    Raises:
        ValueError: an unknown method, or a sigma that is not positive.
        RuntimeError: wrong shapes, dtypes or devices.
    """
    if method not in ('linear', 'gaussian'):
        raise ValueError(f"soft_nms: method must be 'linear' or 'gaussian', not {method!r}")
    if not sigma > 0:
        raise ValueError(f'soft_nms: sigma must be positive, not {sigma}')
    # The operator takes the method as a bool.
    options = iou_threshold, min_score, method == 'gaussian', sigma, max_output
    boxes, scores = _at_least_float32(boxes), _at_least_float32(scores)
    if boxes.dim() == 2:
        out = library.operators.soft_nms(boxes[None], scores[None], *options)
        return tuple(part[0] for part in out)
    return library.operators.soft_nms(boxes, scores, *options)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _nms_shapes(boxes, scores, iou_threshold, max_output):
    shape = boxes.shape[0], max_output
    return boxes.new_empty(shape, dtype=torch.int64), boxes.new_empty(shape, dtype=torch.bool)


def _soft_nms_shapes(boxes, scores, iou_threshold, min_score, gaussian, sigma, max_output):
    indices, valid = _nms_shapes(boxes, scores, iou_threshold, max_output)
    return indices, scores.new_empty(indices.shape), valid


if library.CPU.loaded:
    torch.library.register_fake('hrdet::nms', _nms_shapes)
    torch.library.register_fake('hrdet::soft_nms', _soft_nms_shapes)
