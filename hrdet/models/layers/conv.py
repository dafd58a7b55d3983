"""A convolution with norm and activation."""

from collections import OrderedDict

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
