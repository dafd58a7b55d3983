"""Average the logits of windows, resize logits and take label maps, a stripe of rows at a time.

The logits of an image at its full size take gigabytes (150 classes of ADE20K at 2,000 x 3,000
pixels: 3.6), so only a stripe of them exists at once.  K classes; sizes are (h, w).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.ops import Taps, bilinear_taps, interpolate_argmax

STRIPE_BYTES = 4 << 20  # of logits: about what stays in a core's cache
BAND_BYTES = 128 << 20  # of mean logits of windows


class WindowMeans:
    """Mean logits of windows over an image, in bands of its rows.

    Windows wait as the network returns them, with a sixteenth of their pixels: at full size one row
    of windows of 480 pixels over an image 10,000 pixels wide takes 2.9 GB for 150 classes.

    Args:
        num_classes: K.
        width: of the image.
    """

    def __init__(self, num_classes: int, width: int, device: torch.device) -> None:
        self._shape = (num_classes, width)
        self._device = device
        self._windows: list[tuple[Tensor, tuple[int, int, int, int]]] = []

    def add(self, logits: Tensor, window: tuple[int, int, int, int]) -> None:
        """Add logits (K, h, w) of the pixels ``(y1, y2, x1, x2)``, no higher up than the last."""
        self._windows.append((logits, window))

    def rows(self, start: int, stop: int) -> Iterator[Tensor]:
        """Mean logits of the image's rows from ``start`` to ``stop``, as bands (K, n, width).

        All windows over these rows must have been added; windows that end here are dropped.
        """
        num_classes, width = self._shape
        step = max(BAND_BYTES // (4 * num_classes * width), 1)
        for first in range(start, stop, step):
            yield self._band(first, min(first + step, stop))
        self._windows = [(logits, at) for logits, at in self._windows if at[1] > stop]

    def _band(self, start: int, stop: int) -> Tensor:
        num_classes, width = self._shape
        total = torch.zeros(num_classes, stop - start, width, device=self._device)
        count = torch.zeros(stop - start, width, device=self._device)
        for logits, (y1, y2, x1, x2) in self._windows:
            # Rows of the image that the window shares with the band.
            first, last = max(y1, start), min(y2, stop)
            if first < last:
                part = _resized_rows(logits, (y2 - y1, x2 - x1), first - y1, last - y1)
                total[:, first - start : last - start, x1:x2] += part
                count[first - start : last - start, x1:x2] += 1
        return total.div_(count)


def _resized_rows(logits: Tensor, size: tuple[int, int], start: int, stop: int) -> Tensor:
    """Rows ``start`` to ``stop`` of logits (K, h, w) after resizing to ``size``."""
    height, width = size
    factor, rest = divmod(height, logits.shape[1])
    if rest and stop - start < height:
        # Rows of the result begin at fractions of rows of the source: sum those up, then resize
        # columns alone.
        taps = Taps(*(part[start:stop] for part in bilinear_taps(logits.shape[1], height)))
        logits, height, offset = _weighted_sum(logits, 1, taps), stop - start, start
    elif rest:
        offset = 0
    else:
        # One row of the source more on both sides; the rows of the result that these make, whose
        # neighbours are missing, are left out.
        first = max(start // factor - 1, 0)
        logits = logits[:, first : -(-stop // factor) + 1]
        height, offset = factor * logits.shape[1], factor * first
    resized = F.interpolate(
        logits[None], size=(height, width), mode='bilinear', align_corners=False
    )
    return resized[0, :, start - offset : stop - offset]


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
    """Rows of a map that arrives in bands; bands above the last rows asked for are dropped."""

    def __init__(self, bands: Iterable[Tensor]) -> None:
        self._bands = iter(bands)
        self._held: list[tuple[int, Tensor]] = []  # the first row of each band, and the band
        self._read = 0  # rows

    def take(self, start: int, stop: int) -> Tensor:
        """Rows (K, stop - start, w); neither number may be less than at the last call."""
        self._held = [(row, band) for row, band in self._held if row + band.shape[1] > start]
        while self._read < stop:
            band = next(self._bands)
            if self._read + band.shape[1] > start:
                self._held.append((self._read, band))
            self._read += band.shape[1]
        parts = [band[:, max(start - row, 0) : stop - row] for row, band in self._held]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _weighted_sum(map_: Tensor, dim: int, taps: Taps) -> Tensor:
    """A map (K, h, w) whose rows (``dim`` 1) or columns (2) are weighted sums of the taps."""
    shape = [1, 1, 1]
    shape[dim] = -1
    total = None
    for index, weight in zip(taps.index.T.to(map_.device), taps.weight.T.to(map_.device)):
        part = map_.index_select(dim, index) * weight.view(shape)
        total = part if total is None else total.add_(part)
    return total
