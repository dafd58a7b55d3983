"""Activation checkpointing: recompute activations in backward (Chen et al. 2016, 1604.06174)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hrdet.models.layers.sync_norm import SyncBatchNorm


def checkpointed(part: nn.Module | Callable, *inputs, enabled: bool = True):
    """``part(*inputs)``; if ``enabled``, activations inside are recomputed in backward.

    Batch norms update their running statistics in the first forward only; otherwise each step would
    count twice, and checkpointing would change what is learnt.  SyncBN communicates in the first
    forward only; recomputation reuses its statistics.

    Args:
        part: a module or a method of one, without randomness inside.
        inputs: its arguments.
        enabled: whether to trade time for memory; without effect in inference.
    """
    owner = part.__self__ if isinstance(part, MethodType) else part
    if not (enabled and owner.training and torch.is_grad_enabled()):
        return part(*inputs)
    options = dict(use_reentrant=False, preserve_rng_state=False)
    # A compiled graph updates its buffers once by itself, and could not trace the contexts.
    if not torch.compiler.is_compiling():
        options['context_fn'] = partial(_forward_and_recomputation, owner)
    return checkpoint(part, *inputs, **options)


def run_part(part: nn.Module | Callable, *inputs, recompute: bool):
    """``checkpointed`` under its former name."""
    return checkpointed(part, *inputs, enabled=recompute)


def _forward_and_recomputation(owner: nn.Module) -> tuple[AbstractContextManager, ...]:
    # Both contexts share the list: forward fills it, recomputation reads it.
    norms = [m for m in owner.modules() if isinstance(m, _BatchNorm) and m.training]
    statistics: list[tuple[Tensor, ...]] = []
    return _Record(norms, statistics), _Replay(norms, statistics)


class _Record(AbstractContextManager):
    """Append the joint statistics of every SyncBN call to ``statistics``."""

    def __init__(self, norms: Sequence[_BatchNorm], statistics: list[tuple[Tensor, ...]]) -> None:
        self.synced = [norm for norm in norms if isinstance(norm, SyncBatchNorm)]
        self.statistics = statistics

    def __enter__(self) -> None:
        self.sources = [norm.statistics_source for norm in self.synced]
        for norm, source in zip(self.synced, self.sources):
            norm.statistics_source = partial(self._statistics, source or norm.joint_statistics)

    def _statistics(self, source: Callable[..., tuple[Tensor, ...]], x: Tensor):
        self.statistics.append(source(x))
        return self.statistics[-1]

    def __exit__(self, *error) -> None:
        for norm, source in zip(self.synced, self.sources):
            norm.statistics_source = source


class _Replay(_Record):
    """Return the recorded statistics in their order, and leave running statistics as they are.

    It is entered once in every backward through the same graph.  Running statistics cannot be
    switched off, since backward saves them: a momentum of 0 keeps them.
    """

    def __init__(self, norms: Sequence[_BatchNorm], statistics: list[tuple[Tensor, ...]]) -> None:
        super().__init__(norms, statistics)
        self.tracking = [norm for norm in norms if norm.track_running_stats]

    def __enter__(self) -> None:
        super().__enter__()
        self.remaining = iter(self.statistics)
        self.saved = [(norm.momentum, norm.num_batches_tracked) for norm in self.tracking]
        # Batches are counted on a copy.
        scratch = self.saved[0][1].clone() if self.saved else None
        for norm in self.tracking:
            norm.momentum, norm.num_batches_tracked = 0.0, scratch

    def _statistics(self, source: Callable[..., tuple[Tensor, ...]], x: Tensor):
        return next(self.remaining)

    def __exit__(self, *error) -> None:
        for norm, (momentum, count) in zip(self.tracking, self.saved):
            norm.momentum, norm.num_batches_tracked = momentum, count
        super().__exit__(*error)
