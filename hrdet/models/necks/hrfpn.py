"""HRFPN: the feature pyramid of HRNetV2p (Wang et al. 2019, arXiv 1908.07919, figure 4c)."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from hrdet.models.layers import NormCfg, checkpointed, conv_module, init_convs
from hrdet.models.layers.resize import resize_concat_conv
from hrdet.models.maps import Maps
from hrdet.ranges import Count, Counts
from hrdet.registry import register

_POOLS = {'AVG': nn.AvgPool2d, 'MAX': nn.MaxPool2d}


@register()
class HRFPN(nn.Module):
    """All branches in one map at the finest resolution, pooled again to a pyramid.

    Branches are upsampled (bilinear), concatenated and reduced by a 1x1 convolution; each level is
    the one above pooled by two (a last odd row or column is dropped) and gets a 3x3 convolution.

    Args:
        in_channels: channels of the branches, finest first.
        out_channels: channels of every level.
        num_outs: number of levels.
        pooling: ``'AVG'`` or ``'MAX'``.
        share_conv: one 3x3 convolution for all levels.
        stride: of the 3x3 convolutions; FCOS uses 2, so that its levels begin at stride 8.
        with_checkpoint: compute again in backward what stands before a norm.  Without norms the
            neck keeps nothing but its maps, and there is nothing to save.
        norm_cfg: norm after each convolution, in place of its bias.
    """

    def __init__(
        self,
        in_channels: Counts,
        out_channels: Count = 256,
        num_outs: Count = 5,
        pooling: str = 'AVG',
        share_conv: bool = False,
        stride: Count = 1,
        with_checkpoint: bool = False,
        norm_cfg: NormCfg | None = None,
    ) -> None:
        super().__init__()
        if pooling not in _POOLS:
            raise ValueError(f"pooling must be 'AVG' or 'MAX', not {pooling!r}")
        if num_outs < 1:
            raise ValueError(f'num_outs must be at least 1, not {num_outs}')
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.num_outs, self.stride = num_outs, stride
        self.with_checkpoint = with_checkpoint and norm_cfg is not None
        # Neither the reduction nor the outputs have a ReLU, as in the HRNet releases.
        options = dict(norm_cfg=norm_cfg, activation=False)
        self.reduction_conv = conv_module(sum(in_channels), out_channels, 1, **options)
        self.fpn_convs = nn.ModuleList(
            conv_module(out_channels, out_channels, 3, stride, **options)
            for _ in range(1 if share_conv else num_outs)
        )
        self.pool = _POOLS[pooling](2)
        init_convs(self, partial(nn.init.kaiming_uniform_, a=1))

    def levels(self, maps: Maps) -> Maps:
        """The maps that it makes of these."""
        finest = maps.strides[0] * self.stride
        return Maps(
            [self.out_channels] * self.num_outs, [finest * 2**i for i in range(self.num_outs)]
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, C_i, h_i, w_i), finest first, to ``num_outs`` maps (N, out_channels, h, w)."""
        channels = [feature.shape[1] for feature in features]
        if channels != self.in_channels:
            raise ValueError(
                f'neck.in_channels is {self.in_channels}, but the backbone gives maps of '
                f'{channels} channels'
            )
        # 1. All branches merged at the finest resolution: (N, out_channels, h, w).
        levels = [self._run(self._merge, features)]
        # 2. Pool it again and again; one 3x3 convolution for each level.
        for _ in range(self.num_outs - 1):
            levels.append(self._halve(levels[-1]))
        convs = list(self.fpn_convs) * (self.num_outs // len(self.fpn_convs))
        return [self._run(conv, levels.pop(0)) for conv in convs]  # a level goes once it is used

    def _merge(self, features: Sequence[Tensor]) -> Tensor:
        merged = resize_concat_conv(features, self.reduction_conv.conv)
        return self.reduction_conv[1:](merged)

    def _halve(self, level: Tensor) -> Tensor:
        """Pool by two; a side of one pixel stays one, so that tiny images pass."""
        # ``expand`` repeats a single row or column, whose mean and maximum are itself.
        height, width = level.shape[-2:]
        return self.pool(level.expand(-1, -1, max(height, 2), max(width, 2)))

    def _run(self, part, inputs):
        return checkpointed(part, inputs, enabled=self.with_checkpoint)
