"""Winograd convolution on a CPU: 3x3 filters with a quarter of the multiplications."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import library

_PANEL, _VECTOR = 48, 16  # output channels of one panel of weights; csrc/cpu/winograd.cpp
_TILE, _ELEMENTS = 4, 36  # pixels of an edge; of a transformed tile, (_TILE + 2) squared
_CHUNK_BYTES = 8 << 20  # of transformed tiles that exist at once


def _filter_matrix() -> list[list[float]]:
    """The filter transform G (6, 3) of Lavin and Gray 2016 (arXiv 1509.09308).

    Interpolation points are 0, +-3/4, +-3/2 and infinity, as in csrc/cpu/winograd_transform.h.
    """
    rows = [[(3 / 4 * 3 / 2) ** -2, 0, 0]]
    for x, other in ((3 / 4, 3 / 2), (3 / 2, 3 / 4)):
        scale = 1 / (2 * x**2 * (x**2 - other**2))
        rows += [[scale, sign * scale * x, scale * x**2] for sign in (1, -1)]
    return [*rows, [0, 0, 1]]


@functools.cache  # not at import: torch chooses its kernels at the first operation (ops/cpu.py)
def _filter_transform() -> Tensor:
    """(36, 9): from the 9 weights of a filter to its 36 elements, both axes at once."""
    side = torch.tensor(_filter_matrix(), dtype=torch.float64)
    return torch.kron(side, side).float()


def winograd_weight(weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weights (K, C, 3, 3) in the layout of ``winograd_conv``: (36, panels, C, outputs of a panel).

    With ``torch.bfloat16`` both factors are rounded to it: twice as fast where the processor has an
    instruction for it (avx512_bf16), slow elsewhere.  Pairs of channels are then adjacent:
    (36, panels, ceil(C / 2), outputs of a panel, 2).
    """
    # 1. Output channels in panels, the last one padded: (9, panels, C, outputs of a panel).
    panel = min(_PANEL, -(-weight.shape[0] // _VECTOR) * _VECTOR)
    filters = weight.float().permute(2, 3, 1, 0).flatten(0, 1)
    filters = F.pad(filters, (0, -weight.shape[0] % panel)).unflatten(2, (-1, panel))
    filters = filters.transpose(1, 2)
    # 2. Transform each 3x3 filter to 36 elements: (36, panels, C, outputs of a panel).
    panels = (_filter_transform() @ filters.flatten(1)).view(-1, *filters.shape[1:])
    if dtype is torch.bfloat16:
        # 3. Pairs of input channels, multiplied by one instruction.
        panels = F.pad(panels, (0, 0, 0, weight.shape[1] % 2))
        panels = panels.unflatten(2, (-1, 2)).movedim(3, 4)
    return panels.to(dtype).contiguous()


def winograd_conv(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """3x3 convolution of stride 1 and padding 1; then + residual, then ReLU.

    Winograd's F(4x4, 3x3): 36 multiplications for 16 pixels in place of 144.  Sums of products of
    transformed numbers cancel: the rounding error is about 4 times that in a direct convolution.

    Args:
        images: (N, C, H, W) float32 or bfloat16, on the CPU; read as they are where they are
            channels_last.  Everything between input and output is float32, or as the weight is.
        weight: from ``winograd_weight``.
        bias: (K,) float32.
        residual: (N, K, H, W) of the images' type, or None.
        relu: whether negative results become zero, after the residual.

    Returns:
        (N, K, H, W) of the images' type, channels_last.

    Raises:
        RuntimeError: wrong shapes or dtypes.
    """
    rows = images.permute(0, 2, 3, 1).contiguous()
    if residual is not None:
        residual = residual.permute(0, 2, 3, 1).contiguous()
    out = library.operators.winograd_conv(rows, weight, bias, residual, relu)
    return out.permute(0, 3, 1, 2)


def winograd_conv2d(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.conv2d(images, weight, bias, padding=1)`` of 3x3 filters, with gradients.

    Gradients too take a quarter of the multiplications: that of the images is a convolution with
    the filters rotated by 180 degrees, that of the weight a sum of products of transformed tiles.

    Args:
        images: (N, C, H, W) float32, on the CPU.
        weight: (K, C, 3, 3) float32.
        bias: (K,) float32.

    Returns:
        (N, K, H, W) float32, channels_last.
    """
    return _WinogradConv2d.apply(images, weight, bias)


class _WinogradConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(images, weight)
        return _convolve(images, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        of_images, *of_parameters = ctx.needs_input_grad
        grad_images = None
        if of_images:
            rotated = weight.flip(2, 3).transpose(0, 1)
            grad_images = _convolve(grad, rotated, None)
        grad_weight = _weight_gradient(images, grad) if of_parameters[0] else None
        grad_bias = grad.sum(dim=(0, 2, 3)) if of_parameters[1] else None
        return grad_images, grad_weight, grad_bias


def _weight_gradient(images: Tensor, grad: Tensor) -> Tensor:
    """Of the weight (K, C, 3, 3), for the gradient (N, K, H, W) of the output."""
    n, channels, height, width = images.shape
    images, grad = (x.permute(0, 2, 3, 1).contiguous() for x in (images, grad))
    # 1. The gradient of the transformed filters (36, C, K): transformed tiles of the input (36,
    #    tiles, C) times those of the output's gradient (36, tiles, K), summed over the tiles.
    tiles = n * -(-height // _TILE) * -(-width // _TILE)
    outputs = grad.shape[3]
    step = max(_CHUNK_BYTES // (4 * _ELEMENTS * (channels + outputs)), 1)
    total = images.new_zeros(_ELEMENTS, channels, outputs)
    for first in range(0, tiles, step):
        count = min(step, tiles - first)
        input_tiles = library.operators.winograd_terms(images, False, first, count)
        grad_tiles = library.operators.winograd_terms(grad, True, first, count)
        total.baddbmm_(input_tiles.transpose(1, 2), grad_tiles)
    # 2. Back to 3x3 by the transpose of the filter transform.
    weight = _filter_transform().T @ total.flatten(1)  # (9, C * K)
    return weight.view(3, 3, channels, outputs).permute(3, 2, 0, 1)


def _convolve(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    out = winograd_conv(images, winograd_weight(weight), bias)
    # Not a view: layers that follow may write into it, which autograd refuses in a view.
    return out.new_empty(0).set_(out.untyped_storage(), 0, out.shape, out.stride())


def _fake(
    rows: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, relu: bool
) -> Tensor:
    return rows.new_empty(*rows.shape[:3], bias.shape[0])


if library.CPU.loaded:
    torch.library.register_fake('hrdet::winograd_conv', _fake)
