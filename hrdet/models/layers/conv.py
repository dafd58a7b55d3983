"""Convolutions with norm and activation, and their initial weights."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from hrdet.models.layers.frozen_bn import conv_bn
from hrdet.models.layers.norm import NormCfg, norm_maker


class ConvNorm(nn.Sequential):
    """A convolution without bias, its norm (folded while frozen), and layers that follow."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, *others = self
        x = conv_bn(conv, norm, x)
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
    # Padding of half the kernel keeps the size at stride 1.
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


def conv_tower(widths: Sequence[int], kernel_size: int, norm_cfg: NormCfg | None) -> nn.Sequential:
    """A ``conv_module`` between each two of these numbers of channels."""
    layers = (conv_module(i, o, kernel_size, norm_cfg=norm_cfg) for i, o in pairwise(widths))
    return nn.Sequential(*layers)


# For layers followed by ReLU (He et al. 2015).
_kaiming = partial(nn.init.kaiming_normal_, mode='fan_out', nonlinearity='relu')


def init_convs(module: nn.Module, init: Callable[[Tensor], Tensor] = _kaiming) -> None:
    """Initialise the weights of all convolutions inside; their biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            init(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
