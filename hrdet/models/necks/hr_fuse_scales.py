"""The neck of HRNet's classifiers (Wang et al. 2019, arXiv 1908.07919, figure 4a).

Source of names and shapes: HRNet-Image-Classification, as mmpretrain has it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from torch import Tensor, nn

from hrdet.models.layers import Bottleneck, NormCfg, conv_module, init_convs
from hrdet.models.layers.norm import norm_maker
from hrdet.models.maps import Maps
from hrdet.ranges import Count, Counts
from hrdet.registry import ConfigError, register

_PLANES = (32, 64, 128, 256)  # of the bottleneck on each branch, which widens them four times


@register()
class HRFuseScales(nn.Module):
    """All branches summed at the coarsest resolution, each step with a convolution of stride 2.

    Args:
        in_channels: channels of the branches, finest first.
        out_channels: of the last 1x1 convolution.
        norm_cfg: kind of norm layers.
    """

    def __init__(
        self,
        in_channels: Counts,
        out_channels: Count = 2048,
        norm_cfg: NormCfg | Mapping = MappingProxyType({'type': 'BN'}),
    ) -> None:
        super().__init__()
        norm = norm_maker(norm_cfg)
        self.in_channels, self.out_channels = list(in_channels), out_channels
        # Branch i: a bottleneck to 4 * planes[i] channels; between branches a 3x3 of stride 2.
        planes = _PLANES[: len(self.in_channels)]
        widths = [channels * Bottleneck.expansion for channels in planes]
        self.increase_layers = nn.ModuleList(
            nn.Sequential(Bottleneck(channels, plane, norm))
            for channels, plane in zip(self.in_channels, planes)
        )
        self.downsample_layers = nn.ModuleList(
            conv_module(fine, coarse, 3, stride=2, norm_cfg=norm_cfg)
            for fine, coarse in pairwise(widths)
        )
        self.final_layer = conv_module(widths[-1], out_channels, 1, norm_cfg=norm_cfg)
        init_convs(self)

    def levels(self, maps: Maps) -> Maps:
        """The map that it makes of these."""
        return Maps([self.out_channels], maps.strides[-1:])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (N, C_i, h_i, w_i), finest first, to one (N, out_channels, h, w) of the coarsest."""
        # Each branch is widened (4 * planes channels) and added to the finer ones, halved.
        if not isinstance(features, (list, tuple)) or len(features) != len(self.increase_layers):
            raise ConfigError(
                f'model.neck: HRFuseScales takes the {len(self.increase_layers)} maps of the '
                f'backbone, so it comes first; its in_channels are theirs'
            )
        x = self.increase_layers[0](features[0])
        for downsample, increase, feature in zip(
            self.downsample_layers, self.increase_layers[1:], features[1:]
        ):
            x = downsample(x) + increase(feature)
        return self.final_layer(x)


@register()
class GlobalAveragePooling(nn.Module):
    """The mean over all pixels: (N, C, h, w) to (N, C)."""

    def levels(self, maps: Maps) -> Maps:
        """As before: one mean for each channel."""
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))
