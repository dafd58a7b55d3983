"""Transforms of semantic segmentation: scale, crop by classes, colours, padding.

They draw random numbers as mmsegmentation does, in its order.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np

from hrdet.data.transforms.classification import as_size
from hrdet.data.transforms.colour import distort_colours
from hrdet.data.transforms.crops import random_crop_box
from hrdet.data.transforms.geometry import Transform, crop, expand, resize, resize_crop, size_ratio
from hrdet.data.transforms.sizes import keep_ratio_size, random_scale, scaled_size
from hrdet.data.transforms.standard import as_scales
from hrdet.ranges import Colour, Factors, Level, Pixels, PixelSize, PositiveShare, Ratio, Ratios
from hrdet.registry import register
from hrdet.structures import Sample, SegmentationMap
from hrdet.structures.truth import SEMANTIC_IGNORE

Size = tuple[int, int]  # (h, w)


@register()
class RandomResize(Transform):
    """Resize to ``scale`` times a random ratio.

    Args:
        scale: (w, h) of a box; the image becomes as large as fits into it, however it is turned.
        ratio_range: smallest and largest ratio.
        keep_ratio: keep the image's proportions; otherwise the image becomes the box.
    """

    def __init__(
        self,
        scale: tuple[Pixels, Pixels],
        ratio_range: Ratios = (1.0, 1.0),
        keep_ratio: bool = True,
    ):
        self.scale = as_scales(scale)[0]
        self.ratio_range = tuple(ratio_range)
        if not 0 < self.ratio_range[0] <= self.ratio_range[1]:
            raise ValueError(f'ratio_range is (smallest, largest) above 0, not {ratio_range}')
        self.keep_ratio = keep_ratio

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return resize(sample, self.draw(sample.meta.input_size, rng))

    def draw(self, size: Size, rng: np.random.Generator) -> Size:
        """The new size of an image of ``size``."""
        return self._target(size, random_scale(self.scale, self.ratio_range, rng))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        scale = tuple(int(edge * self.ratio_range[1]) for edge in self.scale)
        rows = [self._target(size, scale) for size in sizes.reshape(-1, 2).tolist()]
        return np.array(rows, np.int64).reshape(sizes.shape)

    def _target(self, size: Size, scale: tuple[int, int]) -> Size:
        return keep_ratio_size(size, scale) if self.keep_ratio else scale[::-1]


@register()
class ResizeByFactor(Transform):
    """Resize to ``factor`` times the image's own size (``Resize(scale_factor=...)`` of 1.x)."""

    def __init__(self, factor: Ratio):
        if not factor > 0:
            raise ValueError(f'factor must be above 0, not {factor}')
        self.factor = factor

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return resize(sample, scaled_size(sample.meta.input_size, self.factor))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return np.maximum((sizes * self.factor + 0.5).astype(np.int64), 1)


@register()
class SegRandomCrop(Transform):
    """Cut a random window in which no class dominates (``RandomCrop`` of segmentation).

    A window is accepted where it holds more than one class and the largest has less than
    ``cat_max_ratio`` of its labelled pixels; the eleventh is taken as it is.  An image smaller
    than the window is kept.

    Args:
        crop_size: (h, w), or one number for both.
        cat_max_ratio: 1 accepts every window.
    """

    def __init__(self, crop_size: PixelSize, cat_max_ratio: PositiveShare = 1.0):
        self.size = as_size(crop_size)
        if not 0 < cat_max_ratio <= 1:
            raise ValueError(f'cat_max_ratio is a share of the pixels, not {cat_max_ratio}')
        self.cat_max_ratio = cat_max_ratio

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        labels, ratio = _labels(sample), self.cat_max_ratio
        if labels is None:  # a test without truth: any window is accepted
            labels, ratio = np.broadcast_to(np.uint8(0), sample.meta.input_size), 1.0
        y, x, h, w = random_crop_box(labels, self.size, rng, ratio, SEMANTIC_IGNORE)
        return crop(sample, x, y, (h, w))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return np.minimum(sizes, self.size)


class RandomResizeCrop(Transform):
    """``RandomResize``, then ``SegRandomCrop``, computing no pixel that is cropped away.

    Same draws and same result.
    """

    def __init__(self, scaling: RandomResize, cropping: SegRandomCrop):
        self.scaling, self.cropping = scaling, cropping

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        size = self.scaling.draw(sample.meta.input_size, rng)
        labels = _labels(sample)
        if labels is None or size == sample.meta.input_size:
            return self.cropping(resize(sample, size), rng)
        # 1. The window is chosen on the labels of the resized image.
        resized = _ResizedLabels(labels, size)
        y, x, h, w = box = random_crop_box(
            resized, self.cropping.size, rng, self.cropping.cat_max_ratio, SEMANTIC_IGNORE
        )
        # 2. Only the window of the image is computed.
        moved = resize_crop(
            replace(sample, truth=None), size, size_ratio(sample, size), x, y, box[2:]
        )
        return replace(moved, truth=SegmentationMap(resized[y : y + h, x : x + w]))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return self.cropping.largest_sizes(self.scaling.largest_sizes(sizes))


class _ResizedLabels:
    """A label map (h, w) resized by the nearest pixel, of which only windows are computed."""

    def __init__(self, labels: np.ndarray, size: Size):
        self.shape = size
        self._labels = labels
        # OpenCV's arithmetic, to the last bit of float64.
        self._rows, self._columns = (
            np.minimum((np.arange(new) * (1 / (new / old))).astype(np.int64), old - 1)
            for new, old in zip(size, labels.shape)
        )

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        rows, columns = window
        return np.take(self._labels[self._rows[rows]], self._columns[columns], axis=1)


def fuse(transforms: Sequence[Transform]) -> list[Transform]:
    """The same transforms, each ``RandomResize`` before a ``SegRandomCrop`` joined with it."""
    fused: list[Transform] = []
    for transform in transforms:
        if fused and type(fused[-1]) is RandomResize and type(transform) is SegRandomCrop:
            transform = RandomResizeCrop(fused.pop(), transform)
        fused.append(transform)
    return fused


@register()
class SegPhotoMetricDistortion(Transform):
    """Change brightness, contrast, saturation and hue (``PhotoMetricDistortion`` of segmentation).

    Args:
        brightness_delta: see ``distort_colours``.
        contrast_range: see ``distort_colours``.
        saturation_range: see ``distort_colours``.
        hue_delta: see ``distort_colours``.
    """

    def __init__(
        self,
        brightness_delta: Level = 32,
        contrast_range: Factors = (0.5, 1.5),
        saturation_range: Factors = (0.5, 1.5),
        hue_delta: Annotated[int, 'an integer from 1 to 180', lambda n: 1 <= n <= 180] = 18,
    ):
        self.arguments = (brightness_delta, contrast_range, saturation_range, hue_delta)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=distort_colours(sample.image, rng, *self.arguments))


@register()
class PadToSize(Transform):
    """Pad smaller images on the right and below; labels of the padding are ignored.

    Args:
        size: (h, w), or one number for both; an image that is larger stays as it is.
        pad_val: grey level, or colour (B, G, R), of the padding, which is normalised with the
            image (a ``Pad`` before ``Normalize``).  None: 0 in the normalised input, that is the
            mean colour; the pixels are added when the batch is put together.
    """

    def __init__(self, size: PixelSize, pad_val: Colour | None = None):
        self.size = as_size(size)
        self.pad_val = pad_val

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        h, w = self.largest_sizes(np.array(sample.meta.input_size)).tolist()
        if self.pad_val is None:
            return replace(sample, meta=replace(sample.meta, padded_size=(h, w)))
        if (h, w) == sample.meta.input_size:
            return sample
        return expand(sample, 0, 0, (h, w), self.pad_val)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return np.maximum(sizes, self.size)


def _labels(sample: Sample) -> np.ndarray | None:
    """The label map (h, w) of a sample; None where it has no truth."""
    if sample.truth is None:
        return None
    if not isinstance(sample.truth, SegmentationMap):
        raise ValueError(
            f'a crop by cat_max_ratio needs label maps, and the data set has '
            f'{type(sample.truth).__name__}: use RandomCrop or RandomResizedCrop'
        )
    return sample.truth.labels
