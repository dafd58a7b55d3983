"""Activation checkpointing: memory for time (Chen et al. 2016)."""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def run_part(part: nn.Module | Callable, *inputs, recompute: bool):
    """``part(*inputs)``; with ``recompute`` what happens inside is not kept in training.

    It is computed again in backward.  Batch norms update their running statistics in the first run
    only; otherwise every step would count twice, and checkpointing would change what is learnt.

    Args:
        part: a module or a method of one.
        inputs: what it takes.
        recompute: whether to trade time for memory.
    """
    owner = getattr(part, '__self__', part)
    if not (recompute and owner.training and torch.is_grad_enabled()):
        return part(*inputs)
    options = dict(use_reentrant=False, preserve_rng_state=False)  # nothing random inside
    # A compiled graph updates its buffers once by itself, and could not trace the contexts.
    if not torch.compiler.is_compiling():
        options['context_fn'] = lambda: (nullcontext(), _statistics_kept(owner))
    return checkpoint(part, *inputs, **options)


@contextmanager
def _statistics_kept(owner: nn.Module):
    """Batch norms inside ``owner`` run as always, but learn nothing and do not count the run."""
    norms = [m for m in owner.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    scratch = norms[0].num_batches_tracked.clone() if norms else None
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, scratch
    try:
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum, norm.num_batches_tracked = momentum, count
