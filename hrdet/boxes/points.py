"""Points that look for boxes, and boxes as distances from them (Tian et al., FCOS, 2019).

L levels with feature maps of (h, w), P points of all levels together.  A point is (x, y) in pixels
of the input, distances are (left, top, right, bottom).  Inclusive distances lead to the middle of
the last pixel: all of FCOS but its areas and overlaps is free of the inclusive world's + 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hrdet.boxes.anchors import Sizes, _origins
from hrdet.boxes.constants import kept
from hrdet.boxes.convention import BoxConvention


@kept
def grid_points(
    strides: tuple[int, ...],
    feature_sizes: tuple[tuple[int, int], ...],
    convention: BoxConvention,
    device: torch.device,
) -> Tensor:
    """The points (P, 2) of all levels, each in the middle of its feature pixel, row by row.

    Half an odd stride is rounded down in the inclusive convention.  Made once for each list of
    sizes and device; do not write into them.
    """
    whole = convention is BoxConvention.INCLUSIVE
    halves = tuple(s // 2 if whole else s / 2 for s in strides)
    return _origins(strides, feature_sizes, 1, device) + per_point(halves, feature_sizes, device)


@kept
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
    near = distances[..., :2].minimum(distances[..., 2:])
    far = distances[..., :2].maximum(distances[..., 2:])
    return (near / far).prod(-1).sqrt()
