"""3x3 convolutions with a quarter of the multiplications, for inference on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import library

_PANEL, _VECTOR = 48, 16  # output channels of one panel of weights; csrc/cpu/winograd.cpp


def _filter_matrix() -> list[list[float]]:
    """A filter's polynomial at 0, +-3/4, +-3/2 and infinity, as csrc/cpu/winograd.cpp reads it.

    The third of the three transforms of Lavin and Gray 2016 (arXiv 1509.09308).
    """
    rows = [[(3 / 4 * 3 / 2) ** -2, 0, 0]]
    for x, other in ((3 / 4, 3 / 2), (3 / 2, 3 / 4)):
        scale = 1 / (2 * x**2 * (x**2 - other**2))
        rows += [[scale, sign * scale * x, scale * x**2] for sign in (1, -1)]
    return [*rows, [0, 0, 1]]


def winograd_weight(weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weights (K, C, 3, 3) in the layout of ``winograd_conv``: (36, panels, C, outputs of a panel).

    With ``torch.bfloat16`` both factors are rounded to it: twice as fast where the processor has an
    instruction for it (avx512_bf16), slow elsewhere.  Pairs of channels are then adjacent:
    (36, panels, ceil(C / 2), outputs of a panel, 2).
    """
    # 1. Transform each 3x3 filter: (6, 6, C, K), flattened to (36, C, K).
    filter_ = torch.tensor(_filter_matrix(), dtype=torch.float64)
    terms = torch.einsum('ai,kcij,bj->abck', filter_, weight.double(), filter_).flatten(0, 1)
    # 2. Output channels in panels, the last one padded: (36, panels, C, outputs of a panel).
    panel = min(_PANEL, -(-weight.shape[0] // _VECTOR) * _VECTOR)
    panels = F.pad(terms, (0, -weight.shape[0] % panel)).unflatten(2, (-1, panel)).movedim(2, 1)
    if dtype is torch.bfloat16:
        # 3. Pairs of input channels, multiplied by one instruction.
        panels = F.pad(panels, (0, 0, 0, weight.shape[1] % 2))
        panels = panels.unflatten(2, (-1, 2)).movedim(3, 4)
    return panels.to(dtype).contiguous()


def winograd_conv(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    summand: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """3x3 convolution of stride 1 with zero padding 1; then + summand, then ReLU.

    Winograd's F(4x4, 3x3): 36 multiplications for 16 pixels in place of 144.  Sums of products of
    transformed numbers cancel: the rounding error is about 4 times that in a direct convolution.

    Args:
        images: (N, C, H, W) float32 or bfloat16, on the CPU; read as they are where they are
            channels_last.  Everything between input and output is float32, or as the weight is.
        weight: from ``winograd_weight``.
        bias: (K,) float32.
        summand: (N, K, H, W) of the images' type, or None.
        relu: whether negative results become zero, after the summand.

    Returns:
        (N, K, H, W) of the images' type, channels_last.

    Raises:
        RuntimeError: wrong shapes or dtypes.
    """
    rows = images.permute(0, 2, 3, 1).contiguous()
    if summand is not None:
        summand = summand.permute(0, 2, 3, 1).contiguous()
    out = library.operators.winograd_conv(rows, weight, bias, summand, relu)
    return out.permute(0, 3, 1, 2)


def _fake(rows: Tensor, weight: Tensor, bias: Tensor, summand: Tensor | None, relu: bool) -> Tensor:
    return rows.new_empty(*rows.shape[:3], bias.shape[0])


if library.CPU.loaded:
    torch.library.register_fake('hrdet::winograd_conv', _fake)
