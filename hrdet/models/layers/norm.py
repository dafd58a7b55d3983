"""Normalisation layers by name: ``norm_cfg=dict(type='BN' | 'SyncBN' | 'GN', ...)``.

A config node becomes a *norm maker*, a callable from a channel count to a layer, so that modules
with many norms of one kind hold no config.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from hrdet.models.layers.sync_norm import SyncBatchNorm
from hrdet.ranges import Count, Positive, Share
from hrdet.registry import build, register

NormCfg = Callable[[int], nn.Module] | Mapping[str, Any]


@register()
@dataclass(frozen=True)
class BN:
    """Makes batch norms; ``requires_grad=False`` fixes their scale and shift."""

    eps: Positive = 1e-5
    momentum: Share = 0.1
    requires_grad: bool = True
    layer: ClassVar[type[nn.Module]] = nn.BatchNorm2d
    key: ClassVar[str] = 'bn'  # what mmdetection's checkpoints call it beside a convolution

    def __call__(self, channels: int) -> nn.Module:
        norm = self.layer(channels, eps=self.eps, momentum=self.momentum)
        return norm.requires_grad_(self.requires_grad)


@register()
@dataclass(frozen=True)
class SyncBN(BN):
    """Makes batch norms over all processes."""

    layer: ClassVar[type[nn.Module]] = SyncBatchNorm


@register()
@dataclass(frozen=True)
class GN:
    """Makes group norms (Wu and He 2018), which do not depend on the batch."""

    num_groups: Count
    eps: Positive = 1e-5
    requires_grad: bool = True
    key: ClassVar[str] = 'gn'

    def __call__(self, channels: int) -> nn.Module:
        if channels % self.num_groups:
            fitting = [n for n in range(1, self.num_groups) if channels % n == 0]
            raise ValueError(
                f'norm_cfg: GN cannot split {channels} channels into num_groups='
                f'{self.num_groups} equal groups; for this layer {fitting[-1]} would do'
            )
        norm = nn.GroupNorm(self.num_groups, channels, eps=self.eps)
        return norm.requires_grad_(self.requires_grad)


def norm_maker(norm_cfg: NormCfg) -> Callable[[int], nn.Module]:
    """The norm maker that a config dict means; a live maker is returned as it is."""
    if callable(norm_cfg):
        return norm_cfg
    if 'type' not in norm_cfg:
        raise ValueError(f"norm_cfg needs a type, 'BN', 'SyncBN' or 'GN': {dict(norm_cfg)}")
    return build(dict(norm_cfg), 'norm_cfg')


def build_norm(norm_cfg: NormCfg, channels: int) -> nn.Module:
    """One norm layer over ``channels``."""
    return norm_maker(norm_cfg)(channels)
