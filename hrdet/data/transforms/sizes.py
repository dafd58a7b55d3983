"""Sizes that images are resized to: pure functions of numbers.

Sizes are (h, w), scales as the configs write them: (w, h) or (long, short) pairs.
"""

from collections.abc import Sequence

import numpy as np


def keep_ratio_size(size: tuple[int, int], scale: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the image's proportions whose long and short edge fit into ``scale``."""
    long, short = max(scale), min(scale)
    return scaled_size(size, min(long / max(size), short / min(size)))


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """The size times ``factor``, rounded half up; at least one pixel."""
    return max(int(size[0] * factor + 0.5), 1), max(int(size[1] * factor + 0.5), 1)


def short_edge_size(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """The size whose short edge is ``edge``; the long one is truncated, as in mmpretrain."""
    h, w = size
    return (edge, int(edge * w / h)) if h < w else (int(edge * h / w), edge)


def random_scale(
    scale: tuple[int, int], ratio_range: Sequence[float], rng: np.random.Generator
) -> tuple[int, int]:
    """``scale`` times a random ratio, truncated (mmsegmentation's ``RandomResize``)."""
    ratio = rng.uniform(*ratio_range)
    return int(scale[0] * ratio), int(scale[1] * ratio)
