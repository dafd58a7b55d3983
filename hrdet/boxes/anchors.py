"""Anchors: the boxes a region proposal network starts from (Ren et al., Faster R-CNN, 2015).

N images, L levels with feature maps of (h, w), A anchors of all levels together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hrdet.boxes.constants import constant, kept
from hrdet.boxes.convention import BoxConvention
from hrdet.registry import register

Sizes = Sequence[tuple[int, int]]


@register()
class AnchorGenerator:
    """Boxes of every scale and aspect ratio around every feature pixel of every level.

    Args:
        strides: input pixels per feature pixel, one for each level.
        scales: edge of a square anchor in units of the base size.
        ratios: height over width.
        base_sizes: one for each level, in pixels; the strides where None.
        convention: inclusive base anchors are centred on the middle of their stride's pixels and
            rounded to whole pixels, continuous ones centred on 0 and not rounded.
    """

    def __init__(
        self,
        strides: Sequence[int],
        scales: Sequence[float],
        ratios: Sequence[float],
        base_sizes: Sequence[float] | None = None,
        convention: BoxConvention | str = BoxConvention.CONTINUOUS,
    ) -> None:
        self.strides = tuple(strides)
        self.scales, self.ratios = tuple(scales), tuple(ratios)
        self.base_sizes = self.strides if base_sizes is None else tuple(base_sizes)
        if len(self.base_sizes) != len(self.strides):
            raise ValueError(
                f'{len(self.base_sizes)} base_sizes for {len(self.strides)} strides: '
                f'each level needs one'
            )
        self.convention = BoxConvention(convention)
        self.base_anchors = [self._base_anchors(size) for size in self.base_sizes]
        self._numbers = tuple(tuple(level.flatten().tolist()) for level in self.base_anchors)

    @property
    def num_anchors(self) -> int:
        """Anchors at each feature pixel."""
        return len(self.scales) * len(self.ratios)

    def grid(self, feature_sizes: Sizes, device: torch.device | str = 'cpu') -> list[Tensor]:
        """Anchors (h * w * num_anchors, 4) of each level: row by row, those of a pixel together.

        Made once for each list of sizes and device; do not write into them.
        """
        if len(feature_sizes) != len(self.strides):
            raise ValueError(f'{len(feature_sizes)} feature maps for {len(self.strides)} strides')
        anchors = _anchors(self._numbers, self.strides, tuple(feature_sizes), torch.device(device))
        return list(anchors.split([h * w * self.num_anchors for h, w in feature_sizes]))

    def inside(
        self,
        anchors: Tensor,
        feature_sizes: Sizes,
        input_sizes: Tensor,
        padded_sizes: Tensor,
        allowed_border: float,
    ) -> Tensor:
        """Which anchors may train: (N, A) bool.

        Their feature pixel must begin within the image's own padding, and they may reach over the
        image itself by less than ``allowed_border`` pixels.

        Args:
            anchors: (A, 4), the concatenated ``grid(feature_sizes)``.
            feature_sizes: (h, w) of each level.
            input_sizes: (N, 2) sizes (h, w) of the images without padding.
            padded_sizes: (N, 2) sizes with each image's own padding, without the batch's.
            allowed_border: in pixels; below 0 the second condition is dropped.
        """
        origins = _origins(self.strides, tuple(feature_sizes), self.num_anchors, anchors.device)
        valid = (origins < padded_sizes.flip(1)[:, None]).all(-1)
        if allowed_border < 0:
            return valid
        near, far = anchors[:, :2], anchors[:, 2:] - self.convention.offset
        limits = input_sizes.flip(1)[:, None] + allowed_border
        return valid & (near >= -allowed_border).all(-1) & (far < limits).all(-1)

    def _base_anchors(self, size: float) -> Tensor:
        """The anchors (num_anchors, 4) of a level's first pixel: ratios in turn, then scales."""
        # In float32 and step by step as the releases do: the rounding must meet the same numbers.
        # On the CPU, also while a model is being built on the device 'meta'.
        height = torch.tensor(self.ratios, dtype=torch.float32, device='cpu').sqrt()
        scales = torch.tensor(self.scales, dtype=torch.float32, device='cpu')
        widths = (size * (1 / height)[:, None] * scales).flatten()
        heights = (size * height[:, None] * scales).flatten()
        if self.convention is BoxConvention.CONTINUOUS:
            return torch.stack([-widths, -heights, widths, heights], -1) / 2
        centre = (size - 1) / 2
        x, y = (widths - 1) / 2, (heights - 1) / 2
        corners = torch.stack([centre - x, centre - y, centre + x, centre + y], -1).round()
        corners[:, 2:] += 1
        return corners


@kept
def _origins(strides: tuple, feature_sizes: Sizes, num_anchors: int, device: torch.device):
    """Where the feature pixel of each anchor begins: (A, 2) as (x, y)."""
    levels = []
    for stride, (h, w) in zip(strides, feature_sizes):
        x, y = torch.arange(w, device=device), torch.arange(h, device=device)
        pixels = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], -1) * float(stride)
        levels.append(pixels[:, :, None].expand(h, w, num_anchors, 2).reshape(-1, 2))
    return torch.cat(levels)


@kept
def _anchors(base: tuple, strides: tuple, feature_sizes: Sizes, device: torch.device):
    """The anchors (A, 4) of all levels, from the flattened base anchors of each."""
    count = len(base[0]) // 4
    repeats = [h * w for h, w in feature_sizes]
    base = [constant(b, device).view(1, count, 4).expand(n, -1, -1) for b, n in zip(base, repeats)]
    origins = _origins(strides, feature_sizes, count, device)
    return torch.cat(base).flatten(0, 1) + origins.repeat(1, 2)
