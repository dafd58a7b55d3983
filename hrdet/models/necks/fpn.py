"""FPN: a pyramid built from the top down (Lin et al. 2017, arXiv 1612.03144)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.layers import NormCfg, conv_module, init_convs
from hrdet.models.maps import Maps
from hrdet.ranges import Count, Counts
from hrdet.registry import register


@register()
class FPN(nn.Module):
    """Maps of a backbone, finest first, to ``num_outs`` levels of ``out_channels``.

    Each level is a 1x1 convolution of its map plus the coarser level, upsampled, and then a 3x3
    convolution.  Levels beyond the backbone's are every second pixel of the one before.

    Args:
        in_channels: of the backbone's maps.
        norm_cfg: norm after each convolution, in place of its bias.
    """

    def __init__(
        self,
        in_channels: Counts,
        out_channels: Count = 256,
        num_outs: Count = 5,
        norm_cfg: NormCfg | None = None,
    ) -> None:
        super().__init__()
        if num_outs < len(in_channels):
            raise ValueError(f'num_outs={num_outs}: there are {len(in_channels)} maps')
        self.num_outs, self.out_channels = num_outs, out_channels
        self.in_channels = list(in_channels)

        def conv(channels: int, size: int) -> nn.Module:
            return conv_module(channels, out_channels, size, norm_cfg=norm_cfg, activation=False)

        # 1x1 to one width, then 3x3 after the sum; Xavier's initial values, as in mmdetection.
        self.lateral_convs = nn.ModuleList(conv(channels, 1) for channels in in_channels)
        self.fpn_convs = nn.ModuleList(conv(out_channels, 3) for _ in in_channels)
        init_convs(self, nn.init.xavier_uniform_)

    def levels(self, maps: Maps) -> Maps:
        """The maps that it makes of these."""
        coarser = [maps.strides[-1] * 2 ** (i + 1) for i in range(self.num_outs)]
        return Maps([self.out_channels] * self.num_outs, [*maps.strides, *coarser][: self.num_outs])

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        # 1. All maps with ``out_channels`` channels.
        levels = [lateral(x) for lateral, x in zip(self.lateral_convs, features)]
        # 2. From coarse to fine: add the coarser level, upsampled.
        for i in reversed(range(len(levels) - 1)):
            coarser = F.interpolate(levels[i + 1], size=levels[i].shape[-2:], mode='nearest')
            levels[i] = levels[i] + coarser
        # 3. Smooth; then coarser levels, every second pixel of the one before.
        levels = [conv(level) for conv, level in zip(self.fpn_convs, levels)]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return levels
