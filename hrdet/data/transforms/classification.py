"""Crops and resizes of image classification, under mmpretrain's names."""

from collections.abc import Sequence

import cv2
import numpy as np

from hrdet.data.errors import DataError
from hrdet.data.transforms.antialias import resize_antialiased
from hrdet.data.transforms.crops import centre_crop_box, random_resized_crop_box
from hrdet.data.transforms.geometry import Transform, crop, follow, size_ratio
from hrdet.data.transforms.sizes import short_edge_size
from hrdet.ranges import Factors, Pixels, PixelSize, Ratios, Tries
from hrdet.registry import register
from hrdet.structures import Sample

Size = tuple[int, int]  # (h, w)
_LONGEST = 1 << 20  # pixels of an edge, as of a file that OpenCV reads

_OPENCV = {
    'nearest': cv2.INTER_NEAREST,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
    'area': cv2.INTER_AREA,
    'lanczos': cv2.INTER_LANCZOS4,
}


class _ByBackend(Transform):
    """A transform that resizes with Pillow, which antialiases, or with OpenCV, which does not."""

    def __init__(self, backend: str, interpolation: str):
        if backend not in ('cv2', 'pillow'):
            raise ValueError(f"backend is 'cv2' or 'pillow', not {backend!r}")
        known = _OPENCV if backend == 'cv2' else [name for name in _OPENCV if name != 'area']
        if interpolation not in known:
            raise ValueError(f'interpolation is one of {", ".join(known)}, not {interpolation!r}')
        self.backend, self.interpolation = backend, interpolation

    def resize(self, sample: Sample, size: Size) -> Sample:
        """Bring a sample to ``size``; coordinates follow the ratio of the whole-pixel sizes."""
        # Pillow antialiases when an image shrinks; OpenCV's filters do not.
        if self.backend == 'pillow':
            image = resize_antialiased(sample.image, size, self.interpolation)
        else:
            image = cv2.resize(sample.image, size[::-1], interpolation=_OPENCV[self.interpolation])
        scale = size_ratio(sample, size)
        before = sample.meta.scale
        return follow(
            sample,
            image,
            lambda annotation: annotation.resize(size, scale, size),
            input_size=size,
            padded_size=size,
            scale=(before[0] * scale[0], before[1] * scale[1]),
        )


@register()
class RandomResizedCrop(_ByBackend):
    """Cut a box of random area and proportions and resize it (Szegedy et al. 2015, section 6).

    Args:
        scale: (h, w) of the result, or one number for both.
        crop_ratio_range: area of the box over the image's.
        aspect_ratio_range: width of the box over its height.
        max_attempts: boxes drawn before the largest centred one is taken.
        backend: ``'pillow'``, as ImageNet's models were trained, or ``'cv2'``.
        interpolation: ``'nearest'``, ``'bilinear'``, ``'bicubic'``, ``'lanczos'``; ``'area'`` with
            OpenCV.
    """

    def __init__(
        self,
        scale: PixelSize,
        crop_ratio_range: Factors = (0.08, 1.0),
        aspect_ratio_range: Ratios = (3 / 4, 4 / 3),
        max_attempts: Tries = 10,
        backend: str = 'cv2',
        interpolation: str = 'bilinear',
    ):
        super().__init__(backend, interpolation)
        self.size = as_size(scale)
        self.crop_ratio_range = _as_range('crop_ratio_range', crop_ratio_range)
        self.aspect_ratio_range = _as_range('aspect_ratio_range', aspect_ratio_range)
        self.max_attempts = max_attempts

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        y, x, h, w = random_resized_crop_box(
            sample.meta.input_size,
            rng,
            self.crop_ratio_range,
            self.aspect_ratio_range,
            self.max_attempts,
        )
        return self.resize(crop(sample, x, y, (h, w)), self.size)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.size, sizes.shape)


@register()
class ResizeEdge(_ByBackend):
    """Bring one edge to ``scale`` pixels; the other one follows, truncated to whole pixels.

    Args:
        scale: pixels.
        edge: ``'short'``, ``'long'``, ``'width'`` or ``'height'``.
        backend: see ``RandomResizedCrop``.
        interpolation: see ``RandomResizedCrop``.
    """

    def __init__(
        self,
        scale: Pixels,
        edge: str = 'short',
        backend: str = 'cv2',
        interpolation: str = 'bilinear',
    ):
        super().__init__(backend, interpolation)
        if edge not in ('short', 'long', 'width', 'height'):
            raise ValueError(f"edge is 'short', 'long', 'width' or 'height', not {edge!r}")
        if scale < 1:
            raise ValueError(f'scale is a number of pixels, not {scale}')
        self.scale, self.edge = scale, edge

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        self.check_size(sample.meta.path, sample.meta.input_size)
        return self.resize(sample, self._target(sample.meta.input_size))

    def check_size(self, path: str, size: Size) -> None:
        """Refuse an image of ``size`` (h, w) so thin that it would become huge."""
        h, w = self._target(size)
        if max(h, w) > _LONGEST:  # gigabytes
            raise DataError(
                f'{path}: {size[1]} x {size[0]} pixels would become {w} x {h} by '
                f'ResizeEdge(scale={self.scale}): leave out images that are so thin'
            )

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        rows = [self._target(size) for size in sizes.reshape(-1, 2).tolist()]
        return np.array(rows, np.int64).reshape(sizes.shape)

    def _target(self, size: Size) -> Size:
        h, w = size
        # The other edge is truncated to whole pixels, as in mmpretrain.
        if self.edge == 'short':
            h, w = short_edge_size(size, self.scale)
        elif self.edge == 'width' or (self.edge == 'long' and w > h):
            h, w = int(self.scale * h / w), self.scale
        else:
            h, w = self.scale, int(self.scale * w / h)
        return max(h, 1), max(w, 1)


@register()
class CenterCrop(Transform):
    """Keep the middle of an image; of a smaller image as much as there is.

    Args:
        crop_size: (h, w), or one number for both.
    """

    def __init__(self, crop_size: PixelSize):
        self.size = as_size(crop_size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        y, x, h, w = centre_crop_box(sample.meta.input_size, self.size)
        return crop(sample, x, y, (h, w))

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return np.minimum(sizes, self.size)


def as_size(size: PixelSize) -> Size:
    """(h, w) from one number for both or a pair."""
    pair = (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(pair) != 2 or any(int(edge) != edge or edge < 1 for edge in pair):
        raise ValueError(f'a size is a number of pixels or a pair (h, w), not {size!r}')
    return int(pair[0]), int(pair[1])


def _as_range(name: str, values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    if not 0 < low <= high:
        raise ValueError(f'{name} is a pair (smallest, largest) above 0, not {tuple(values)}')
    return low, high
