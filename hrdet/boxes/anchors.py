"""Anchors, the reference boxes of a region proposal network (Ren et al., Faster R-CNN, 2015).

N images, L levels with feature maps of (h, w), A anchors of all levels together.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hrdet.boxes.geometry import BoxConvention
from hrdet.ranges import Counts, Positives
from hrdet.registry import register

Sizes = Sequence[tuple[int, int]]


def cached_tensor(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Cache the tensors of a function of hashable arguments; do not write into them.

    While torch traces a graph the function runs uncached, so that no symbolic tensor stays in the
    cache.  Tensors first made in inference mode may serve training later: they are ordinary ones.
    """

    @functools.lru_cache(maxsize=32)
    def cached(*arguments):
        with torch.inference_mode(False), torch.no_grad():
            return function(*arguments)

    @functools.wraps(function)
    def call(*arguments):
        return (function if torch.compiler.is_compiling() else cached)(*arguments)

    call.cache_clear = cached.cache_clear
    return call


@register()
class AnchorGenerator(nn.Module):
    """Boxes of every scale and aspect ratio around every feature pixel of every level.

    Args:
        strides: input pixels per feature pixel, one for each level.
        scales: edge of a square anchor in units of the base size.
        ratios: height over width.
        base_sizes: one for each level, in pixels; the strides where None.
        convention: decides where base anchors lie (``rounded_anchors``) and which pixel is the
            last one inside an image (``offset``).
    """

    def __init__(
        self,
        strides: Counts,
        scales: Positives,
        ratios: Positives,
        base_sizes: Positives | None = None,
        convention: BoxConvention | str = BoxConvention.CONTINUOUS,
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.scales, self.ratios = tuple(scales), tuple(ratios)
        self.base_sizes = self.strides if base_sizes is None else tuple(base_sizes)
        if len(self.base_sizes) != len(self.strides):
            raise ValueError(
                f'{len(self.base_sizes)} base_sizes for {len(self.strides)} strides: '
                f'each level needs one'
            )
        self.offset = BoxConvention(convention).offset
        self.rounded = BoxConvention(convention).rounded_anchors
        base_anchors = torch.stack([self._base_anchors(size) for size in self.base_sizes])
        self.register_buffer('base_anchors', base_anchors, persistent=False)  # (L, num_anchors, 4)

    @property
    def num_anchors(self) -> int:
        """Anchors at each feature pixel."""
        return len(self.scales) * len(self.ratios)

    def grid(self, feature_sizes: Sizes) -> list[Tensor]:
        """Anchors (h * w * num_anchors, 4) of each level: row by row, all of a pixel together.

        Cached for each list of sizes; do not write into them.
        """
        if len(feature_sizes) != len(self.strides):
            raise ValueError(f'{len(feature_sizes)} feature maps for {len(self.strides)} strides')
        anchors = _all_anchors(self, tuple(feature_sizes), self.base_anchors.device)
        return list(anchors.split([h * w * self.num_anchors for h, w in feature_sizes]))

    def inside(
        self,
        anchors: Tensor,
        feature_sizes: Sizes,
        input_sizes: Tensor,
        padded_sizes: Tensor,
        allowed_border: float,
    ) -> Tensor:
        """Which anchors may be trained on: (N, A) bool.

        Their feature pixel must begin within the image's own padding, and they may exceed the image
        itself by less than ``allowed_border`` pixels.

        Args:
            anchors: (A, 4), the concatenated anchors of ``feature_sizes``.
            feature_sizes: (h, w) of each level.
            input_sizes: (N, 2) sizes (h, w) of the images without padding.
            padded_sizes: (N, 2) sizes with each image's own padding, without the batch's.
            allowed_border: in pixels; below 0 the second condition is dropped.
        """
        # 1. Feature pixels that begin within the image's padding: (N, A).
        origins = self._origins(feature_sizes)
        valid = (origins < padded_sizes.flip(1)[:, None]).all(-1)
        if allowed_border < 0:
            return valid
        # 2. Corners that exceed the image by less than the border, compared as (x, y).
        near, far = anchors[:, :2], anchors[:, 2:] - self.offset
        limits = input_sizes.flip(1)[:, None] + allowed_border
        return valid & (near >= -allowed_border).all(-1) & (far < limits).all(-1)

    def _origins(self, feature_sizes: Sizes) -> Tensor:
        # (A, 2), cached: the same for every batch of these sizes.
        device = self.base_anchors.device
        return pixel_origins(self.strides, tuple(feature_sizes), self.num_anchors, device)

    def _base_anchors(self, size: float) -> Tensor:
        """The anchors (num_anchors, 4) of a level's first pixel: for each ratio, all scales."""
        # In float32, in the order of the releases: rounding must give the same integers.
        height = torch.tensor(self.ratios, dtype=torch.float32).sqrt()
        scales = torch.tensor(self.scales, dtype=torch.float32)
        # Widths and heights (ratios, scales), flattened to (num_anchors,).
        widths = (size * (1 / height)[:, None] * scales).flatten()
        heights = (size * height[:, None] * scales).flatten()
        if not self.rounded:  # centred on 0
            return torch.stack([-widths, -heights, widths, heights], -1) / 2
        # Centred on the middle of the stride's pixels; corners rounded as inclusive ones.
        centre = (size - 1) / 2
        x, y = (widths - 1) / 2, (heights - 1) / 2
        corners = torch.stack([centre - x, centre - y, centre + x, centre + y], -1).round()
        corners[:, 2:] += 1
        return corners


@cached_tensor
def _all_anchors(generator: AnchorGenerator, feature_sizes: Sizes, device: torch.device) -> Tensor:
    """The anchors (A, 4) of all levels, on the generator's device (which is part of the key)."""
    # 1. The base anchors of a level once for each of its pixels: (A, 4) over all levels.
    levels = zip(generator.base_anchors, feature_sizes)
    base = torch.cat([anchors.expand(h * w, -1, -1) for anchors, (h, w) in levels]).flatten(0, 1)
    # 2. Moved to where their pixels begin: (A, 2) as (x, y), added to both corners.
    origins = pixel_origins(generator.strides, feature_sizes, generator.num_anchors, device)
    return base + origins.repeat(1, 2)


@cached_tensor
def pixel_origins(strides: tuple, feature_sizes: Sizes, num_anchors: int, device: torch.device):
    """Where the feature pixel of each anchor begins: (A, 2) as (x, y)."""
    levels = []
    for stride, (h, w) in zip(strides, feature_sizes):
        # Pixels (h, w, 2), then each one once for every anchor: (h * w * num_anchors, 2).
        x, y = torch.arange(w, device=device), torch.arange(h, device=device)
        pixels = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], -1) * float(stride)
        levels.append(pixels[:, :, None].expand(h, w, num_anchors, 2).reshape(-1, 2))
    return torch.cat(levels)
