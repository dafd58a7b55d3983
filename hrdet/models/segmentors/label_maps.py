"""Average the logits of windows, resize logits and take label maps, a stripe of rows at a time.

The logits of an image at its full size take gigabytes (150 classes of ADE20K at 2,000 x 3,000
pixels: 3.6), so only a stripe of them exists at once.  K classes; sizes are (h, w).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet.ops import Taps, bilinear_taps, interpolate_argmax

STRIPE_BYTES = 4 << 20  # of logits: about what stays in a core's cache
_BAND_ROWS = 16  # of means: a band is a copy


class WindowSums:
    """Sums of the logits of windows, for the rows of an image that a row of windows reaches.

    Row y of the image is row ``y % rows`` of the sums, so that nothing is moved or allocated from
    one row of windows to the next.

    Args:
        num_classes: K.
        rows: height of the windows.
        width: of the image.
    """

    def __init__(self, num_classes: int, rows: int, width: int, device: torch.device) -> None:
        self.rows = rows
        self.total = torch.zeros(num_classes, rows, width, device=device)
        self.count = torch.zeros(rows, width, device=device)

    def add(self, logits: Tensor, top: int, left: int) -> None:
        """Add the logits (K, rows, w) of a window whose upper left pixel is (top, left)."""
        columns = slice(left, left + logits.shape[2])
        first = top % self.rows
        # The upper rows of the window go below ``first``, the others wrap around.
        for own, sums in (
            (slice(0, self.rows - first), slice(first, self.rows)),
            (slice(self.rows - first, self.rows), slice(0, first)),
        ):
            self.total[:, sums, columns] += logits[:, own]
            self.count[sums, columns] += 1

    def means(self, start: int, stop: int) -> Iterator[Tensor]:
        """Mean logits of the image's rows from ``start`` to ``stop``, as bands (K, n, width).

        These rows must be complete; their sums start again at 0.
        """
        while start < stop:
            first = start % self.rows
            end = first + min(_BAND_ROWS, self.rows - first, stop - start)
            total, count = self.total[:, first:end], self.count[first:end]
            yield total / count
            total.zero_()
            count.zero_()
            start += end - first


@dataclass(slots=True)
class ResizedLogits:
    """A map (K, h, w) that is to be resized to several sizes in turn, and is read in stripes.

    Bilinear with ``align_corners=False``, equal to resizing the whole map to rounding.

    Args:
        bands: the map as bands of rows (K, rows, w), from top to bottom; read once.
        sizes: (h, w) of the map itself, and what it is resized to.
        num_classes: K.
    """

    bands: Iterable[Tensor]
    sizes: Sequence[tuple[int, int]]
    num_classes: int

    def stripes(self) -> Iterator[Tensor]:
        """The map in its last size, as stripes (K, rows, w)."""
        for source, rows, columns in self._parts():
            stripe = _weighted_sum(source, 1, rows)
            yield _weighted_sum(stripe, 2, columns)

    def labels(self) -> Tensor:
        """The most probable class of every pixel, (h, w) uint8 of the last size."""
        # Allocated first: small stripes that stay would keep the memory between them from reuse.
        labels, first = None, 0
        for source, rows, columns in self._parts():
            if source.device.type == 'cpu':
                # Classes last, as the operator reads them: a view where the head works so.
                stripe = interpolate_argmax(source.permute(1, 2, 0), rows, columns)
            else:
                stripe = _weighted_sum(_weighted_sum(source, 1, rows), 2, columns)
                stripe = stripe.argmax(dim=0).to(torch.uint8)
            if labels is None:
                labels = stripe.new_empty(self.sizes[-1])
            labels[first : first + len(stripe)] = stripe
            first += len(stripe)
        return labels

    def _parts(self) -> Iterator[tuple[Tensor, Taps, Taps]]:
        """Source rows (K, rows, w) of each stripe, with the taps of its rows and columns."""
        heights, widths = zip(*self.sizes)
        rows, columns = bilinear_taps(*heights), bilinear_taps(*widths)
        source = _Rows(self.bands)
        # Rows whose float32 logits (K, rows, width) fit into a stripe.
        step = max(STRIPE_BYTES // (4 * self.num_classes * widths[-1]), 1)
        for start in range(0, heights[-1], step):
            index, weight = rows.index[start : start + step], rows.weight[start : start + step]
            first = int(index.min())
            band = source.take(first, int(index.max()) + 1)
            yield band, Taps(index - first, weight), columns


class _Rows:
    """Rows of a map that arrives in bands; rows above the last ones asked for are dropped."""

    def __init__(self, bands: Iterable[Tensor]) -> None:
        self._bands = iter(bands)
        self._first = 0
        self._held: Tensor | None = None

    def take(self, start: int, stop: int) -> Tensor:
        """Rows (K, stop - start, w); neither number may be less than at the last call."""
        held = [] if self._held is None else [self._held]
        # Read bands until the last row is there, then drop rows above the first.
        while self._first + sum(band.shape[1] for band in held) < stop:
            held.append(next(self._bands))
        self._held = (held[0] if len(held) == 1 else torch.cat(held, dim=1))[
            :, start - self._first :
        ]
        self._first = start
        return self._held[:, : stop - start]


def _weighted_sum(map_: Tensor, dim: int, taps: Taps) -> Tensor:
    """A map (K, h, w) whose rows (``dim`` 1) or columns (2) are weighted sums of the taps."""
    shape = [1, 1, 1]
    shape[dim] = -1
    total = None
    for index, weight in zip(taps.index.T.to(map_.device), taps.weight.T.to(map_.device)):
        part = map_.index_select(dim, index) * weight.view(shape)
        total = part if total is None else total.add_(part)
    return total
