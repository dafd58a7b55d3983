"""Activation checkpointing: memory for time (Chen et al. 2016)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hrdet.models.layers.conv_norm import run_merged
from hrdet.models.layers.sync_norm import SyncBatchNorm


def run_part(part: nn.Module | Callable, *inputs, recompute: bool):
    """``part(*inputs)``; with ``recompute`` what happens inside is not kept in training.

    It is computed again in backward.  Batch norms update their running statistics in the first run
    only; otherwise every step would count twice, and checkpointing would change what is learnt.
    Those over several processes talk to the others in the first run only, and keep what they heard.

    Args:
        part: a module or a method of one.
        inputs: what it takes.
        recompute: whether to trade time for memory.
    """
    owner = part.__self__ if isinstance(part, MethodType) else part
    if recompute and owner is part:
        part = partial(run_merged, part, part)
    if not (recompute and owner.training and torch.is_grad_enabled()):
        return part(*inputs)
    options = dict(use_reentrant=False, preserve_rng_state=False)  # nothing random inside
    # A compiled graph updates its buffers once by itself, and could not trace the contexts.
    if not torch.compiler.is_compiling():
        options['context_fn'] = lambda: _two_runs(owner)
    return checkpoint(part, *inputs, **options)


def _two_runs(owner: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """The surroundings of the first run and of the second."""
    norms = [m for m in owner.modules() if isinstance(m, _BatchNorm) and m.training]
    heard: list[tuple[Tensor, ...]] = []
    return _noted(norms, heard), _Anew(lambda: _statistics_kept(norms, heard))


class _Anew(AbstractContextManager):
    """Surroundings made for each entry: a graph that is kept has a second run in every backward."""

    def __init__(self, make: Callable[[], AbstractContextManager]) -> None:
        self._make = make

    def __enter__(self) -> None:
        self._made = self._make()
        self._made.__enter__()

    def __exit__(self, *error) -> bool | None:
        return self._made.__exit__(*error)


@contextmanager
def _noted(norms: list[_BatchNorm], heard: list[tuple[Tensor, ...]]):
    """What norms over several processes agree on goes to ``heard``, in the order of their calls."""

    def note(talk: Callable, x: Tensor) -> tuple[Tensor, ...]:
        heard.append(talk(x))
        return heard[-1]

    with _in_place_of_talk(norms, note):
        yield


@contextmanager
def _statistics_kept(norms: list[_BatchNorm], heard: list[tuple[Tensor, ...]]):
    """``norms`` run as before, but learn nothing and do not count the run."""
    learning = [norm for norm in norms if norm.track_running_stats]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in learning]
    scratch = learning[0].num_batches_tracked.clone() if learning else None
    for norm in learning:
        norm.momentum, norm.num_batches_tracked = 0.0, scratch
    again = iter(heard)
    try:
        with _in_place_of_talk(norms, lambda *_: next(again)):
            yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum, norm.num_batches_tracked = momentum, count


@contextmanager
def _in_place_of_talk(norms: list[_BatchNorm], statistics: Callable[..., tuple[Tensor, ...]]):
    """Norms over several processes take ``statistics(talk, x)``.

    To talk is the layer's own way, or that of a part around this one.
    """
    talking = [norm for norm in norms if isinstance(norm, SyncBatchNorm)]
    around = [vars(norm).get('joint_statistics') for norm in talking]
    for norm in talking:
        norm.joint_statistics = partial(statistics, norm.joint_statistics)
    try:
        yield
    finally:
        for norm, other in zip(talking, around):
            del norm.joint_statistics
            if other is not None:
                norm.joint_statistics = other
