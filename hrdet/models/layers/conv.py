"""A convolution with what usually follows it."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet.models.layers.norm import NormCfg, norm_maker

# What others hang on a module, such as pruning, which makes the weight anew for every call.
_HOOKS = ('_forward_pre_hooks', '_forward_hooks', '_backward_pre_hooks', '_backward_hooks')


def conv_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(conv(x))``; batch norms that use their running statistics go into the weights.

    The norm is then a scale and a shift, which are learnt through the scaled weights as well (You
    et al. 2023, arXiv 2305.11624).  It costs no pass over the maps, and of the two maps that a
    backward wants, conv's and norm's input, only the first is kept.
    """
    if not _merges(conv, norm):
        return norm(conv(x))
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * gain
    weight = conv.weight * gain[:, None, None, None]
    return F.conv2d(x, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def _merges(conv: nn.Conv2d, norm: nn.Module) -> bool:
    """Whether the two are a scaled convolution and a shift, and nobody listens in between."""
    bare = type(conv) is nn.Conv2d and conv.bias is None and conv.padding_mode == 'zeros'
    resting = isinstance(norm, _BatchNorm) and not norm.training
    return (
        bare
        and resting
        and norm.affine
        and norm.running_var is not None
        and norm.weight.dtype == conv.weight.dtype
        and not any(getattr(module, hooks) for module in (conv, norm) for hooks in _HOOKS)
    )


class ConvNorm(nn.Sequential):
    """A convolution without bias, its norm, and layers that follow."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, *others = self
        x = conv_norm(conv, norm, x)
        for layer in others:
            x = layer(x)
        return x


def conv_module(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    norm_cfg: NormCfg | None = None,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution of an odd kernel, norm, ReLU; the size is kept, or divided by ``stride``.

    The convolution has a bias only where no norm follows.  Children are called ``conv`` and ``bn``
    or ``gn``, as in mmdetection's checkpoints.
    """
    parts = OrderedDict(
        conv=nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            bias=norm_cfg is None,
        )
    )
    if norm_cfg is not None:
        maker = norm_maker(norm_cfg)
        parts[maker.key] = maker(out_channels)
    if activation:
        parts['relu'] = nn.ReLU(inplace=True)
    return nn.Sequential(parts)
