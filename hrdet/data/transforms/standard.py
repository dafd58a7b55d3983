"""The transforms of every config: Resize, RandomFlip, Pad, and SegRescale for semantic maps."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hrdet.boxes import BoxConvention
from hrdet.data.transforms.geometry import Transform, flip, resize
from hrdet.registry import register
from hrdet.structures import Sample

Scale = tuple[int, int]


@register()
class Resize(Transform):
    """Resize an image to one of several scales.

    Args:
        scales: one (long, short) pair of pixels, or several.  Which number comes first does not
            matter for ``keep_ratio``; without it a scale is (width, height).
        multiscale_mode: ``'value'`` draws one of the scales; ``'range'``, for exactly two scales,
            draws long and short edge between theirs, both ends included.
        keep_ratio: the image is as large as fits into the scale; otherwise it fills it.
        convention: inclusive boxes are scaled by the ratio asked for, as in the 2019 releases;
            continuous ones by the ratio of the whole-pixel sizes, as in mmdetection 2 and later.
    """

    def __init__(
        self,
        scales: Scale | Sequence[Scale],
        multiscale_mode: str = 'value',
        keep_ratio: bool = True,
        convention: BoxConvention | str = BoxConvention.INCLUSIVE,
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
        self.convention = BoxConvention(convention)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        h, w = sample.meta.input_size
        scale = self.draw(rng)
        new_h, new_w, ratio = self._target(h, w, scale)
        if self.keep_ratio and self.convention is BoxConvention.INCLUSIVE:
            factors = (ratio, ratio)
        else:
            factors = (new_w / w, new_h / h)
        return resize(sample, (new_h, new_w), factors, self.convention)

    def draw(self, rng: np.random.Generator) -> Scale:
        """One scale for one image."""
        if self.multiscale_mode == 'value':
            return self.scales[rng.integers(len(self.scales))]
        long, short = zip(*((max(s), min(s)) for s in self.scales))
        return (
            int(rng.integers(min(long), max(long) + 1)),
            int(rng.integers(min(short), max(short) + 1)),
        )

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        scales = self.scales
        if self.multiscale_mode == 'range':
            scales = [(max(max(s) for s in scales), max(min(s) for s in scales))]
        rows = sizes.reshape(-1, 2).tolist()
        bounds = [[self._target(h, w, scale)[:2] for scale in scales] for h, w in rows]
        return np.array(bounds, np.int64).reshape(*sizes.shape[:-1], -1, 2).max(axis=-2)

    def _target(self, h: int, w: int, scale: Scale) -> tuple[int, int, float]:
        if not self.keep_ratio:
            return scale[1], scale[0], 1.0
        ratio = min(max(scale) / max(h, w), min(scale) / min(h, w))
        return max(int(h * ratio + 0.5), 1), max(int(w * ratio + 0.5), 1), ratio


@register()
class RandomFlip(Transform):
    """Mirror an image left to right with probability ``ratio``."""

    def __init__(self, ratio: float = 0.5):
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

    def __init__(self, size_divisor: int = 32):
        if size_divisor < 1:
            raise ValueError(f'size_divisor must be at least 1, not {size_divisor}')
        self.size_divisor = size_divisor

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        h, w = self.largest_sizes(np.array(sample.meta.input_size)).tolist()
        return replace(sample, meta=replace(sample.meta, padded_size=(h, w)))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return -(-sizes // self.size_divisor) * self.size_divisor


@register()
class SegRescale(Transform):
    """Take every 1/scale_factor-th pixel of the semantic map, as its head's output has them.

    Belongs at the end of the list.  An h x w map becomes ceil(h/s) x ceil(w/s).
    """

    def __init__(self, scale_factor: float = 1.0):
        self.stride = round(1 / scale_factor)
        if self.stride < 1 or abs(self.stride * scale_factor - 1) > 1e-6:
            raise ValueError(f'scale_factor must be 1 over a whole number, not {scale_factor}')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        truth = sample.truth
        if truth is None or truth.semantic is None:
            return sample
        semantic = np.ascontiguousarray(truth.semantic[:: self.stride, :: self.stride])
        return replace(sample, truth=replace(truth, semantic=semantic))


def as_scales(scales: Scale | Sequence[Scale]) -> list[Scale]:
    """A list of pairs of positive whole numbers, from one pair or several."""
    rows = [scales] if len(scales) and np.ndim(scales[0]) == 0 else list(scales)
    for row in rows:
        if len(row) != 2 or any(int(edge) != edge or edge < 1 for edge in row):
            raise ValueError(f'a scale is a pair of whole numbers of pixels, not {row!r}')
    if not rows:
        raise ValueError('there must be at least one scale')
    return [(int(a), int(b)) for a, b in rows]
