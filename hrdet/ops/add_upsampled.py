"""Upsampling of coarser maps fused with their addition to a base map, for inference on a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import library
from .taps import Taps


def add_upsampled(
    base: Tensor,
    terms: Sequence[Tensor],
    rows: Sequence[Taps],
    columns: Sequence[Taps],
    relu: bool = False,
) -> Tensor:
    """``base`` + each term upsampled to its size, then ReLU; **may be written into** ``base``.

    Sums are float32 and are rounded once.

    Args:
        base: (N, C, H, W) float32 or bfloat16 on the CPU.  It holds the result where it is
            channels_last.
        terms: at least one map (N, C, h, w) of its type.
        rows: of each term the taps of the H rows, with indices below h.
        columns: of each term the taps of the W columns.
        relu: whether negative results become zero.

    Returns:
        (N, C, H, W), channels_last.

    Raises:
        RuntimeError: wrong shapes or dtypes; an index outside of a term.
    """
    out, *terms = (x.permute(0, 2, 3, 1).contiguous() for x in (base, *terms))
    taps = [[getattr(one, part) for one in of] for of in (rows, columns) for part in Taps._fields]
    library.operators.add_upsampled(out, terms, *taps, relu)
    return out.permute(0, 3, 1, 2)


def _fake(*arguments) -> None:
    return None


if library.CPU.loaded:
    torch.library.register_fake('hrdet::add_upsampled', _fake)
