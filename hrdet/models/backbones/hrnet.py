"""HRNetV2: high-resolution representations in parallel branches of strides 4, 8, 16 and 32.

Paper: Wang et al. 2019, "Deep High-Resolution Representation Learning for Visual Recognition",
arXiv 1908.07919.
Source: github.com/HRNet, the repositories HRNet-Image-Classification (MIT licence) and
HRNet-Object-Detection (Apache 2.0).  Parameter names are theirs; the code is written anew.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.backbones.base import Backbone
from hrdet.models.backbones.hrnet_stages import Stage, stages_of_extra, stages_of_width
from hrdet.models.layers import ConvNorm, conv_bn
from hrdet.models.layers.norm import NormCfg, norm_maker
from hrdet.models.layers.residual import Norm
from hrdet.models.layers.resize import upsample_fuse
from hrdet.ranges import Count, FrozenStages
from hrdet.registry import register


def _conv(in_channels: int, out_channels: int, stride: int, norm: Norm, relu: bool = True):
    """A 3x3 convolution with norm and, unless its result is added to others, ReLU."""
    layers = [nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), norm(out_channels)]
    return ConvNorm(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def _blocks(stage: Stage, branch: int, in_channels: int, norm: Norm) -> nn.Sequential:
    channels = stage.num_channels[branch]
    widths = [in_channels] + [channels * stage.block.expansion] * (stage.num_blocks[branch] - 1)
    return nn.Sequential(*(stage.block(width, channels, norm) for width in widths))


class Transition(nn.ModuleList):
    """Maps the branches of one stage to the next stage's, which may be wider and are one more.

    Args:
        before: channels of the branches of the stage before.
        after: channels of the branches of the stage after.
    """

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        # Existing branches: a 3x3 convolution where the width changes.
        for channels, target in zip(before, after):
            self.append(nn.Identity() if channels == target else _conv(channels, target, 1, norm))
        # New branches: a 3x3 convolution of stride 2 from the coarsest branch.
        for target in after[len(before) :]:
            self.append(nn.Sequential(_conv(before[-1], target, 2, norm)))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        # The new branch starts from the coarsest one, at half its resolution.
        sources = features + features[-1:] * (len(self) - len(features))
        return [layer(x) for layer, x in zip(self, sources)]


class HRModule(nn.Module):
    """Residual blocks in every branch, then multi-scale fusion: each branch gets the sum of all.

    HighResolutionModule in the HRNet releases.
    """

    def __init__(self, stage: Stage, norm: Norm, fuse_mode: str = 'nearest') -> None:
        super().__init__()
        self.fuse_mode = fuse_mode
        channels = stage.out_channels
        indices = range(len(channels))
        self.branches = nn.ModuleList(_blocks(stage, i, channels[i], norm) for i in indices)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse_layer(channels, source, target, norm) for source in indices)
            for target in indices
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        features = [branch(x) for branch, x in zip(self.branches, features)]
        return [self._fuse(features, target) for target in range(len(features))]

    def _fuse(self, features: list[Tensor], target: int) -> Tensor:
        # 1. All branches with the channels of the target (N, C, ., .); finer ones are downsampled
        #    to its resolution, coarser ones still have their own.
        terms = [layer(x) for layer, x in zip(self.fuse_layers[target], features)]
        # 2. Coarser terms.  Upsampling by nearest neighbour and addition commute: they are added
        #    from the coarsest up, one doubling at a time, and each resolution is upsampled once.
        if self.fuse_mode == 'nearest':
            total = terms[-1]
            for term in reversed(terms[target:-1]):
                total = term + F.interpolate(total, size=term.shape[-2:], mode='nearest')
        else:  # bilinear upsampling by 4 or 8 is not that by 2 repeated
            total = terms[target]
            for doublings, term in enumerate(terms[target + 1 :], start=1):
                total = total + upsample_fuse(term, 2**doublings, total.shape[-2:])
        # 3. Finer terms.
        for term in terms[:target]:
            total = total + term
        return F.relu(total)


ExchangeModule = HRModule  # its earlier name


def _fuse_layer(channels: tuple[int, ...], source: int, target: int, norm: Norm) -> nn.Module:
    """One branch to the channels of another, and to its resolution where that is coarser."""
    if source == target:
        return nn.Identity()
    # Coarser branches get a 1x1 convolution here, and are upsampled in ``_fuse``.
    if source > target:
        return ConvNorm(
            nn.Conv2d(channels[source], channels[target], 1, bias=False), norm(channels[target])
        )
    # Finer branches: one 3x3 convolution of stride 2 for each halving; the last one changes the
    # width.
    steps = [_conv(channels[source], channels[source], 2, norm) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv(channels[source], channels[target], 2, norm, relu=False))


@register('HRNet', 'HighResolutionNet')
class HRNet(Backbone):
    """Images (N, 3, H, W) of any size to four maps, each half the size of the one before.

    Sizes are rounded up; ``channels`` and ``strides`` describe the maps.

    Args:
        extra: the stages as the 2019 configs write them, or
        width: a published shape: 18, 30, 32, 40, 44, 48, 64, ``'18-small'`` (W18-small v2) or
            ``'18-small-v1'``.
        norm_cfg: kind of norm layers.
        norm_eval: frozen batch norm: running statistics are used in training too, while scale and
            shift are trained.  As in the 2019 release it does not affect SyncBN.
        frozen_stages: -1 freezes nothing, 0 the stem, n also stages 1 to n with the transitions
            that follow them.  Their norms use running statistics.
        with_cp: activation checkpointing: recompute activations in backward.
        zero_init_residual: residual blocks start as the identity.
        fuse_mode: how coarser branches are upsampled: ``'nearest'`` as in detectors and
            classifiers, ``'bilinear'`` as in segmentors.  A checkpoint does not say which.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        extra: Mapping[str, Any] | None = None,
        width: Count | str | None = None,
        norm_cfg: NormCfg = MappingProxyType({'type': 'BN'}),
        norm_eval: bool = True,
        frozen_stages: FrozenStages = -1,
        with_cp: bool = False,
        zero_init_residual: bool = False,
        in_channels: Count = 3,
        fuse_mode: str = 'nearest',
    ) -> None:
        super().__init__(norm_eval, with_cp)
        if fuse_mode not in ('nearest', 'bilinear'):
            raise ValueError(f"fuse_mode must be 'nearest' or 'bilinear', not {fuse_mode!r}")
        if (extra is None) == (width is None):
            raise ValueError('give either width or extra, not both: each defines the stages')
        if frozen_stages not in range(-1, 5):
            raise ValueError(f'frozen_stages must be in -1..4, not {frozen_stages}')
        self.frozen_stages = frozen_stages
        stages = stages_of_width(width) if extra is None else stages_of_extra(extra)
        norm = norm_maker(norm_cfg)
        # Stem: two convolutions of stride 2, to a quarter of the resolution.
        self.conv1 = nn.Conv2d(in_channels, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = norm(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = norm(64)
        self.layer1 = _blocks(stages[0], 0, 64, norm)
        # Stages 2 to 4, each behind a transition that adds a branch.
        for n, (before, stage) in enumerate(pairwise(stages), start=1):
            transition = Transition(before.out_channels, stage.out_channels, norm)
            modules = (HRModule(stage, norm, fuse_mode) for _ in range(stage.num_modules))
            self.add_module(f'transition{n}', transition)
            self.add_module(f'stage{n + 1}', nn.Sequential(*modules))
        self.channels = stages[-1].out_channels
        self._finish(zero_init_residual)

    def _frozen_parts(self) -> Iterator[nn.Module]:
        # The stem, then each stage with the transition behind it.
        groups = [[self.conv1, self.bn1, self.conv2, self.bn2], [self.layer1, self.transition1]]
        groups += [[self.stage2, self.transition2], [self.stage3, self.transition3], [self.stage4]]
        for group in groups[: self.frozen_stages + 1]:
            yield from group

    def forward(self, images: Tensor) -> list[Tensor]:
        # 1. Stem and first stage: one map (N, 256, H / 4, W / 4).
        features = [self._run_stage(self.layer1, self._run(self._stem, images))]
        # 2. Each transition adds a branch of half the resolution; stage n returns n maps.
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            features = self._run_stage(stage, transition(features))
        return features

    def _stem(self, images: Tensor) -> Tensor:
        x = F.relu(conv_bn(self.conv1, self.bn1, images), inplace=True)
        return F.relu(conv_bn(self.conv2, self.bn2, x), inplace=True)


@register()
class SyncHighResolutionNet(HRNet):
    """HRNet with the 2019 defaults for several GPUs: SyncBN and activation checkpointing."""

    def __init__(
        self, norm_cfg: NormCfg = MappingProxyType({'type': 'SyncBN'}), with_cp=True, **others
    ) -> None:
        super().__init__(norm_cfg=norm_cfg, with_cp=with_cp, **others)
