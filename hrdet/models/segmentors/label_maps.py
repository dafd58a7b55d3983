"""From logits to label maps, a stripe of rows at a time.

The logits of an image at its full size take gigabytes (150 classes of ADE20K at 2,000 x 3,000
pixels: 3.6), so only a stripe of them exists at once.  K classes; sizes are (h, w).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STRIPE_BYTES = 4 << 20  # of logits: about what stays in a core's cache

Size = tuple[int, int]


def resized_stripes(
    bands: Iterable[Tensor], sizes: Sequence[Size], num_classes: int
) -> Iterator[Tensor]:
    """A map (K, h, w) resized to several sizes in turn, as stripes (K, rows, w) of the last size.

    Bilinear with ``align_corners=False``, equal to resizing the whole map to rounding.

    Args:
        bands: the map as bands of rows (K, rows, w), from top to bottom.
        sizes: of the map itself, and what it is resized to.
        num_classes: K.
    """
    rows = _Rows(bands)
    height, width = sizes[-1]
    # Rows whose float32 logits (K, rows, width) fit into a stripe.
    step = max(STRIPE_BYTES // (4 * num_classes * width), 1)
    for start in range(0, height, step):
        stop = min(start + step, height)
        stripe = _interpolate_rows(rows, start, stop, [h for h, _ in sizes])
        # Bilinear resizing is separable: rows were resized first, columns follow.
        for _, columns in sizes[1:]:
            stripe = _resize_columns(stripe, columns)
        yield stripe


class _Rows:
    """Rows of a map that arrives in bands; rows above the last ones asked for are dropped."""

    def __init__(self, bands: Iterable[Tensor]) -> None:
        self._bands = iter(bands)
        self._first = 0
        self._held: Tensor | None = None

    def take(self, start: int, stop: int) -> Tensor:
        """Rows (K, stop - start, w); neither number may be less than at the last call."""
        held = [] if self._held is None else [self._held[:, start - self._first :]]
        while sum(band.shape[1] for band in held) < stop - start:
            held.append(next(self._bands))
        self._first, self._held = start, held[0] if len(held) == 1 else torch.cat(held, dim=1)
        return self._held[:, : stop - start]


def _interpolate_rows(rows: _Rows, start: int, stop: int, heights: Sequence[int]) -> Tensor:
    """Rows ``start`` to ``stop`` of a map whose height is interpolated to ``heights[1:]`` in turn.

    Only the source rows that these depend on are read.
    """
    # 1. From the last height back to the first: between which two rows each wanted one lies.
    steps = []
    for before, after in reversed(list(pairwise(heights))):
        if before == after:
            continue
        position = np.maximum((np.arange(start, stop) + 0.5) * (before / after) - 0.5, 0)
        upper = position.astype(np.int64)
        lower = np.minimum(upper + 1, before - 1)
        start, stop = int(upper[0]), int(lower[-1]) + 1
        steps.append((upper - start, lower - start, position - upper))
    # 2. Forward again: weighted means (K, wanted rows, w) of the source rows.
    stripe = rows.take(start, stop)
    for upper, lower, weight in reversed(steps):
        weight = torch.from_numpy(weight).to(stripe)[:, None]
        upper, lower = (torch.from_numpy(index).to(stripe.device) for index in (upper, lower))
        stripe = torch.lerp(stripe[:, upper], stripe[:, lower], weight)
    return stripe


def _resize_columns(stripe: Tensor, columns: int) -> Tensor:
    if stripe.shape[2] == columns:
        return stripe
    size = (stripe.shape[1], columns)
    return F.interpolate(stripe[None], size=size, mode='bilinear', align_corners=False)[0]
