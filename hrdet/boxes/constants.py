"""Tensors that depend on configuration and sizes only: made once for each device, then kept."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def kept(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Cache the tensors of a function with hashable arguments.

    While torch traces a graph the function runs as written, so that no symbolic tensor stays in the
    cache.  A tensor first made in inference mode may serve training later: it is an ordinary one.
    """

    @functools.lru_cache(maxsize=32)
    def cached(*arguments):
        with torch.inference_mode(False), torch.no_grad():
            return function(*arguments)

    @functools.wraps(function)
    def call(*arguments):
        return (function if torch.compiler.is_compiling() else cached)(*arguments)

    return call


@kept
def constant(values: Sequence[float], device: torch.device) -> Tensor:
    """A float32 vector of a tuple of numbers, filled in on the device: the host never waits."""
    return torch.stack([torch.full((), value, device=device) for value in values])
