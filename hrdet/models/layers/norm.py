"""Normalisation layers by name: ``norm_cfg=dict(type='BN' | 'SyncBN' | 'GN', ...)``.

A config node becomes a *norm maker*, a callable from a channel count to a layer, so that whoever
needs many norms of one kind holds no config.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from hrdet.registry import build, register

NormCfg = Callable[[int], nn.Module] | Mapping[str, Any]


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch norm over the images of all processes: torch's own on CUDA, collectives on CPU.

    In a single process it is plain batch norm, so that one config serves a laptop and a cluster.
    """

    def forward(self, x: Tensor) -> Tensor:
        several = dist.is_initialized() and dist.get_world_size(self.process_group) > 1
        if self.training and several and not x.is_cuda:
            return self._forward_collective(x)
        return super().forward(x)

    def _forward_collective(self, x: Tensor) -> Tensor:
        """Mean first, then squared distances to it: no cancellation, unlike E[x^2] - E[x]^2."""
        group = self.process_group or dist.group.WORLD
        values = x.float()
        own_count = values.new_tensor([values.numel() / values.shape[1]])
        sums = all_reduce(torch.cat([values.sum((0, 2, 3)), own_count]), group=group)
        mean, count = sums[:-1] / sums[-1], sums[-1]
        centred = values - mean[:, None, None]
        var = all_reduce(centred.square().sum((0, 2, 3)), group=group) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1), self.momentum)
        gain = self.weight * torch.rsqrt(var + self.eps)
        return (centred * gain[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@register()
@dataclass(frozen=True)
class BN:
    """Makes batch norms; ``requires_grad=False`` fixes their scale and shift."""

    eps: float = 1e-5
    momentum: float = 0.1
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

    num_groups: int
    eps: float = 1e-5
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
    return build(norm_cfg if callable(norm_cfg) else dict(norm_cfg), 'norm_cfg')


def build_norm(norm_cfg: NormCfg, channels: int) -> nn.Module:
    """One norm layer over ``channels``."""
    return norm_maker(norm_cfg)(channels)
