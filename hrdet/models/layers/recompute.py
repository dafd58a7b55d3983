"""Activation checkpointing: memory for time (Chen et al. 2016)."""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def run_part(owner: nn.Module, function: Callable, *inputs, recompute: bool):
    """``function(*inputs)``; with ``recompute`` its activations are not kept in training.

    They are computed again in backward.  Batch norms inside ``owner`` update their running
    statistics in the first run only; otherwise every step would count twice, and checkpointing
    would change what is learnt.
    """
    if not (recompute and owner.training and torch.is_grad_enabled()):
        return function(*inputs)
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing random inside
        context_fn=lambda: (nullcontext(), _statistics_fixed(owner)),
    )


@contextmanager
def _statistics_fixed(owner: nn.Module):
    norms = [m for m in owner.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
