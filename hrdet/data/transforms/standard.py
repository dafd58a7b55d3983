"""Transforms for every task: resize, flip, pad and expand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np

from hrdet.data.transforms.geometry import Transform, expand, flip, resize
from hrdet.data.transforms.sizes import scaled_size
from hrdet.ranges import Level, Pixels, Scales, Share
from hrdet.registry import register
from hrdet.structures import Sample

Scale = tuple[int, int]
Enlargements = Annotated[
    tuple[float, float],
    'a pair (smallest, largest) from 1 to 100',
    lambda r: 1 <= r[0] <= r[1] <= 100,
]


@register()
class Resize(Transform):
    """Resize an image to one of several scales.

    Args:
        scales: one (long, short) pair of pixels, or several.  The order of the two numbers
            does not matter for ``keep_ratio``; without it a scale is (width, height).
        multiscale_mode: ``'value'`` draws one of the scales; ``'range'``, for exactly two scales,
            draws long and short edge between theirs, both ends included.
        keep_ratio: the image becomes as large as fits into the scale; otherwise exactly the scale.
        exact_scale: coordinates are scaled by the ratio of the whole-pixel sizes, as in mmdetection
            2 and later; otherwise by the ratio asked for, as in the 2019 releases.
    """

    def __init__(
        self,
        scales: tuple[Pixels, Pixels] | Scales,
        multiscale_mode: str = 'value',
        keep_ratio: bool = True,
        exact_scale: bool = False,
    ):
        self.scales = as_scales(scales)
        if multiscale_mode not in ('value', 'range'):
            raise ValueError(f"multiscale_mode is 'value' or 'range', not {multiscale_mode!r}")
        if multiscale_mode == 'range' and len(self.scales) != 2:
            raise ValueError(
                f"multiscale_mode 'range' draws between two scales; there are {len(self.scales)}: "
                f"{self.scales}. Give two, or use 'value'"
            )
        self.multiscale_mode = multiscale_mode
        self.keep_ratio = keep_ratio
        self.exact_scale = exact_scale

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        size, ratio = self._target(sample.meta.input_size, self.draw(rng))
        exact = self.exact_scale or ratio is None
        return resize(sample, size, None if exact else (ratio, ratio))

    def draw(self, rng: np.random.Generator) -> Scale:
        """One scale for one image."""
        if self.multiscale_mode == 'value':
            return self.scales[rng.integers(len(self.scales))]
        # 'range': long and short edge are drawn independently of each other.
        long, short = zip(*((max(s), min(s)) for s in self.scales))
        return (
            int(rng.integers(min(long), max(long) + 1)),
            int(rng.integers(min(short), max(short) + 1)),
        )

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        scales = self.scales
        if self.multiscale_mode == 'range':
            # The largest long edge with the largest short edge.
            scales = [(max(max(s) for s in scales), max(min(s) for s in scales))]
        rows = sizes.reshape(-1, 2).tolist()
        bounds = [[self._target(size, scale)[0] for scale in scales] for size in rows]
        return np.array(bounds, np.int64).reshape(*sizes.shape[:-1], -1, 2).max(axis=-2)

    def _target(self, size: tuple[int, int], scale: Scale) -> tuple[tuple[int, int], float | None]:
        """The new size (h, w), and the ratio asked for where proportions are kept."""
        if not self.keep_ratio:
            return scale[::-1], None
        ratio = min(max(scale) / max(size), min(scale) / min(size))
        return scaled_size(size, ratio), ratio


@register()
class RandomFlip(Transform):
    """Mirror an image left to right with probability ``ratio``."""

    def __init__(self, ratio: Share = 0.5):
        if not 0 <= ratio <= 1:
            raise ValueError(f'ratio is a probability, not {ratio}')
        self.ratio = ratio

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return flip(sample) if rng.random() < self.ratio else sample


@register()
class Pad(Transform):
    """Declare an image padded on the right and below to multiples of ``size_divisor``.

    Only ``meta.padded_size`` changes; the pixels are added when the batch is put together.
    """

    def __init__(self, size_divisor: Pixels = 32):
        if size_divisor < 1:
            raise ValueError(f'size_divisor must be at least 1, not {size_divisor}')
        self.size_divisor = size_divisor

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        h, w = self.largest_sizes(np.array(sample.meta.input_size)).tolist()
        return replace(sample, meta=replace(sample.meta, padded_size=(h, w)))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return -(-sizes // self.size_divisor) * self.size_divisor


@register()
class Expand(Transform):
    """Put half of the images somewhere on a larger canvas of the mean colour (SSD's zoom out).

    Args:
        mean: the colour, in the channel order of ``img_norm_cfg.mean``.
        to_rgb: that order is RGB, and is reversed for the BGR image.
        ratio_range: edge of the canvas over edge of the image, up to 100.
    """

    def __init__(
        self,
        mean: tuple[Level, Level, Level] = (0, 0, 0),
        to_rgb: bool = True,
        ratio_range: Enlargements = (1, 4),
    ):
        self.colour = np.rint(mean[::-1] if to_rgb else mean).astype(np.uint8)
        self.ratio_range = ratio_range

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() < 0.5:
            return sample
        # A canvas of random size, and a random place of the image on it.
        h, w = sample.meta.input_size
        ratio = rng.uniform(*self.ratio_range)
        size = (int(h * ratio), int(w * ratio))
        top, left = rng.integers(size[0] - h + 1), rng.integers(size[1] - w + 1)
        return expand(sample, left, top, size, self.colour)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return (sizes * max(self.ratio_range)).astype(np.int64)


def as_scales(scales: Scale | Sequence[Scale]) -> list[Scale]:
    """A list of pairs of positive whole numbers, from one pair or several."""
    rows = [scales] if len(scales) and np.ndim(scales[0]) == 0 else list(scales)
    for row in rows:
        if len(row) != 2 or any(int(edge) != edge or edge < 1 for edge in row):
            raise ValueError(f'a scale is a pair of whole numbers of pixels, not {row!r}')
    if not rows:
        raise ValueError('there must be at least one scale')
    return [(int(a), int(b)) for a, b in rows]
