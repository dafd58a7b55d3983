"""Fold a frozen batch norm into the convolution before it, also while training.

A frozen norm uses its running statistics, so it is a scale and a shift per channel.  Both are
trained through the folded weights (You et al. 2023, arXiv 2305.11624).  Backward then keeps one
feature map per layer, the input of the convolution, instead of two: 0.57 times the memory that an
image adds to a training step of W18 (docs/results/memory.md).
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_HOOKS = ('_forward_pre_hooks', '_forward_hooks', '_backward_pre_hooks', '_backward_hooks')


def conv_bn(conv: nn.Conv2d, bn: nn.Module, x: Tensor) -> Tensor:
    """``bn(conv(x))``: (N, I, H, W) to (N, O, h, w); a frozen batch norm is folded.

    ``bn`` may be a norm of any kind: one that is not a frozen batch norm follows its convolution.
    """
    if not _can_fold(conv, bn):
        return bn(conv(x))
    # 1. The norm is y * gain + shift for each channel y of the convolution: (O,) each.
    gain = bn.weight * torch.rsqrt(bn.running_var + bn.eps)
    shift = bn.bias - bn.running_mean * gain
    # 2. The gain scales the weight (O, I, h, w) of each output channel; the shift is the bias.
    weight = conv.weight * gain[:, None, None, None]
    return conv._conv_forward(x, weight, shift)


def _can_fold(conv: nn.Module, bn: nn.Module) -> bool:
    """A plain convolution and a frozen batch norm, without hooks (pruning, for one) on either."""
    return (
        isinstance(conv, nn.Conv2d)
        and type(conv).forward is nn.Conv2d.forward
        and conv.bias is None
        and conv.padding_mode == 'zeros'
        and isinstance(bn, _BatchNorm)
        and not bn.training
        and bn.affine
        and bn.running_var is not None
        and bn.weight.dtype == conv.weight.dtype
        and not any(getattr(module, hooks) for module in (conv, bn) for hooks in _HOOKS)
    )
