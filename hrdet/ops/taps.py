"""Resizing as weighted sums: what each row, and each column, of the result is made of."""

import functools
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Taps(NamedTuple):
    """What each row (or column) of a resized map is the weighted sum of."""

    index: Tensor  # (count, taps) int32, rows of the source
    weight: Tensor  # (count, taps) float32, sums to 1 in each row


@functools.lru_cache(maxsize=1024)
def bilinear_taps(*edges: int) -> Taps:
    """Taps of an edge resized to ``edges[1:]`` in turn: two for each change of size.

    As ``F.interpolate`` does with ``mode='bilinear', align_corners=False``.
    """
    # From the last size back to the first: each tap is the mean of two of the size before.
    index = np.arange(edges[-1])[:, None]
    weight = np.ones(index.shape)
    for before, after in reversed(list(pairwise(edges))):
        if before == after:
            continue
        position = np.maximum((index + 0.5) * (before / after) - 0.5, 0)
        upper = position.astype(np.int64)
        share = position - upper  # of the lower neighbour
        index = np.concatenate([upper, np.minimum(upper + 1, before - 1)], axis=1)
        weight = np.concatenate([weight * (1 - share), weight * share], axis=1)
    return _taps(index, weight)


@functools.lru_cache(maxsize=1024)
def nearest_taps(*edges: int) -> Taps:
    """One tap for each row of an edge that is resized to ``edges[1:]`` in turn.

    As ``F.interpolate`` does with ``mode='nearest'``, which rounds positions to float32.
    """
    index = np.arange(edges[-1])
    for before, after in reversed(list(pairwise(edges))):
        position = index.astype(np.float32) * (np.float32(before) / np.float32(after))
        index = np.minimum(position.astype(np.int64), before - 1)
    return _taps(index[:, None], np.ones((edges[-1], 1)))


def _taps(index: np.ndarray, weight: np.ndarray) -> Taps:
    return Taps(
        torch.from_numpy(index.astype(np.int32)), torch.from_numpy(weight.astype(np.float32))
    )
