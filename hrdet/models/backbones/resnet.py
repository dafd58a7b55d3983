"""ResNet: the backbone that the HRNet releases compare with.

Paper: He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv 1512.03385.
Source: github.com/pytorch/vision (BSD 3-clause), whose parameter names are used, as in mmdetection;
the code is written anew.
"""

from collections.abc import Iterator
from types import MappingProxyType

import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.backbones.base import Backbone
from hrdet.models.layers import BasicBlock, Bottleneck, NormCfg, conv_bn
from hrdet.models.layers.norm import norm_maker
from hrdet.ranges import Count, FrozenStages, Natural
from hrdet.registry import register

# Kind and number of the blocks of each depth's stages (He et al. 2015, table 1).
_DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


@register()
class ResNet(Backbone):
    """Images (N, 3, H, W) to four maps of strides 4, 8, 16 and 32.

    Args:
        depth: 18, 34, 50, 101 or 152.
        frozen_stages: -1 freezes nothing, 0 the stem, n also stages 1 to n.
        norm_cfg, norm_eval, with_cp, zero_init_residual: as in ``HRNet``.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        depth: Count,
        frozen_stages: FrozenStages = -1,
        norm_cfg: NormCfg = MappingProxyType({'type': 'BN'}),
        norm_eval: bool = True,
        with_cp: bool = False,
        zero_init_residual: bool = False,
        num_stages: Count = 4,
        out_indices: tuple[Natural, ...] = (0, 1, 2, 3),
        style: str = 'pytorch',
    ) -> None:
        super().__init__(norm_eval, with_cp)
        if depth not in _DEPTHS:
            raise ValueError(f'depth must be one of {", ".join(map(str, _DEPTHS))}, not {depth!r}')
        if frozen_stages not in range(-1, 5):
            raise ValueError(f'frozen_stages must be in -1..4, not {frozen_stages}')
        if (num_stages, tuple(out_indices), style) != (4, (0, 1, 2, 3), 'pytorch'):
            raise ValueError(
                "only num_stages=4, out_indices=(0, 1, 2, 3) and style='pytorch' exist, as in the "
                'configs of 2019; leave them out'
            )
        self.frozen_stages = frozen_stages
        norm = norm_maker(norm_cfg)
        block, counts = _DEPTHS[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        channels, out_channels = 64, []
        for i, count in enumerate(counts):
            blocks = []
            for k in range(count):
                # The first block of a stage halves the resolution, except in the first stage.
                stride = 2 if k == 0 and i > 0 else 1
                blocks.append(block(channels, 64 * 2**i, norm, stride))
                channels = 64 * 2**i * block.expansion
            self.add_module(f'layer{i + 1}', nn.Sequential(*blocks))
            out_channels.append(channels)
        self.channels = tuple(out_channels)
        self._finish(zero_init_residual)

    @property
    def _stages(self) -> list[nn.Module]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def _frozen_parts(self) -> Iterator[nn.Module]:
        if self.frozen_stages >= 0:
            yield from (self.conv1, self.bn1, *self._stages[: self.frozen_stages])

    def forward(self, images: Tensor) -> list[Tensor]:
        # Stem, with max pooling: (N, 64, H / 4, W / 4).
        x = F.relu(conv_bn(self.conv1, self.bn1, images), inplace=True)
        x, maps = F.max_pool2d(x, 3, stride=2, padding=1), []
        for stage in self._stages:
            x = self._run_stage(stage, x)
            maps.append(x)
        return maps
