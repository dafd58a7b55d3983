"""The release's deterministic test weights: each follows from its name and shape alone."""

import zlib

import numpy as np
import torch
from torch import nn


def fill(module: nn.Module, prefix: str = '') -> None:
    """Overwrite every entry of the state_dict (``prefix`` as in the whole detector's keys)."""
    for key, value in module.state_dict().items():
        if not key.endswith('num_batches_tracked'):
            value.copy_(torch.from_numpy(_values(prefix + key, tuple(value.shape))))


def _values(key, shape):
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith('running_var'):
        return rng.uniform(0.5, 1.5, shape)
    if key.endswith('running_mean'):
        return rng.normal(0, 0.1, shape)
    if key.endswith('bias'):
        return rng.normal(0, 0.02, shape)
    if len(shape) == 1:
        return 0.5 * rng.uniform(0.8, 1.2, shape)
    return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
