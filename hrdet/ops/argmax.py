"""Bilinear upsampling of logits fused with the argmax over classes, on a CPU."""

import torch
from torch import Tensor

from . import library
from .taps import Taps


def interpolate_argmax(logits: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """The class of the largest logit of every pixel after resizing; ties: the lowest class.

    Only one row of upsampled logits exists at a time in each thread: at 512 x 683 pixels and 150
    classes it takes a tenth of the time of resizing and ``argmax``.

    Args:
        logits: (h, w, K) float32 with K of 1 to 255.
        rows: taps of the H rows of the result.
        columns: taps of its W columns.

    Returns:
        (H, W) uint8.

    Raises:
        RuntimeError: a wrong shape or dtype; an index outside of the source.
    """
    return library.operators.interpolate_argmax(logits.contiguous(), *rows, *columns)


def _fake(
    logits: Tensor, rows: Tensor, row_weights: Tensor, columns: Tensor, column_weights: Tensor
) -> Tensor:
    return logits.new_empty(len(rows), len(columns), dtype=torch.uint8)


if library.CPU.loaded:
    torch.library.register_fake('hrdet::interpolate_argmax', _fake)
