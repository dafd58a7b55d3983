"""Points of feature maps, and boxes as distances from them (Tian et al., FCOS, 2019).

L levels with feature maps of (h, w), P points of all levels together.  A point is (x, y) in pixels
of the input, distances are (left, top, right, bottom).  Distances are measured to the model's
own corners: only areas and overlaps use the stored far corner.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hrdet.boxes.anchors import Sizes, cached_tensor, pixel_origins
from hrdet.boxes.geometry import BoxConvention


@cached_tensor
def grid_points(
    strides: tuple[int, ...],
    feature_sizes: tuple[tuple[int, int], ...],
    convention: BoxConvention,
    device: torch.device,
) -> Tensor:
    """The points (P, 2) of all levels, each in the middle of its feature pixel, row by row.

    Cached for each list of sizes and device; do not write into them.
    """
    # Half a stride from the pixel's corner is its middle.
    halves = tuple(s // 2 if convention.rounded_points else s / 2 for s in strides)
    origins = pixel_origins(strides, feature_sizes, 1, device)
    return origins + per_point(halves, feature_sizes, device)


@cached_tensor
def per_point(values: Sequence[float], feature_sizes: Sizes, device: torch.device) -> Tensor:
    """A number of each level, repeated for each of its points: a column (P, 1)."""
    columns = [
        torch.full((h * w, 1), float(value), device=device)
        for value, (h, w) in zip(values, feature_sizes)
    ]
    return torch.cat(columns)


def encode_distances(points: Tensor, boxes: Tensor, convention: BoxConvention) -> Tensor:
    """Distances (..., 4) from points (..., 2) to the sides of boxes (..., 4), below 0 outside."""
    far = boxes[..., 2:] - convention.offset
    return torch.cat([points - boxes[..., :2], far - points], -1)


def decode_distances(points: Tensor, distances: Tensor, convention: BoxConvention) -> Tensor:
    """The boxes (..., 4) whose sides are ``distances`` (..., 4) from points (..., 2)."""
    far = points + distances[..., 2:] + convention.offset
    return torch.cat([points - distances[..., :2], far], -1)


def centerness(distances: Tensor) -> Tensor:
    """How central (...) a point lies in its box: 1 in the middle, 0 at a side (equation 3)."""
    # The smaller and the larger distance along x and along y: (..., 2).
    near = distances[..., :2].minimum(distances[..., 2:])
    far = distances[..., :2].maximum(distances[..., 2:])
    return (near / far).prod(-1).sqrt()
