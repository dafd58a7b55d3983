"""Assignment of objects to points by location (Tian et al., FCOS, 2019, section 3.2).

N images, P points of all levels; G is the largest number of objects per image in the batch.
"""

import torch
from torch import Tensor

from hrdet.boxes import BoxConvention, box_area
from hrdet.matching.assigner import NEGATIVE, chunk_slices
from hrdet.structures import GroundTruth


@torch.no_grad()
def assign_points(
    points: Tensor,
    ranges: Tensor,
    truth: GroundTruth,
    convention: BoxConvention,
    radius: Tensor | None = None,
) -> Tensor:
    """The object of each point: (N, P) int64 rows of the truth, -1 for background.

    A point takes the smallest object that contains it (of equal ones the first), provided that
    the object's furthest side is within the range of the point's level.

    Args:
        points: (P, 2).
        ranges: (P, 2) least and largest distance of that side in pixels, both included.
        truth: of N images; G is at least 1.
        convention: a point must lie inside the model's own corners.
        radius: (P, 1) in pixels; a point must also be nearer than this to the object's centre, in
            x and in y.  None: anywhere inside.
    """
    # 1. Objects (N, G, 4) with the model's own corners, padded ones empty, and areas (N, G, 1).
    objects = truth.boxes.masked_fill(~truth.valid[..., None], 0)
    areas = box_area(objects)[..., None]
    chunks = chunk_slices(points, objects)
    radii = [None if radius is None else radius[part, 0] for part in chunks]
    corners = torch.cat([objects[..., :2], objects[..., 2:] - convention.offset], -1)
    # 2. The object of each point, a chunk of points at a time: (N, P) in the end.
    rows = [
        _smallest(points[part].unbind(-1), ranges[part].unbind(-1), r, corners, areas)
        for part, r in zip(chunks, radii)
    ]
    return torch.cat(rows, 1)


def _smallest(points, ranges, radius: Tensor | None, corners: Tensor, areas: Tensor) -> Tensor:
    """Objects of one chunk of points, (N, chunk).  Padded objects are empty: they contain none."""
    (x, y), (least, largest) = points, ranges
    x1, y1, x2, y2 = corners[..., None].unbind(-2)  # each (N, G, 1)
    # 1. Inside the object, its furthest side in the range of the point's level.
    left, top, right, bottom = x - x1, y - y1, x2 - x, y2 - y  # each (N, G, chunk)
    furthest = left.maximum(right).maximum(top.maximum(bottom))
    nearest = left.minimum(right).minimum(top.minimum(bottom))
    eligible = (nearest > 0) & (furthest >= least) & (furthest <= largest)
    # 2. Center sampling: near the object's centre.
    if radius is not None:
        from_centre = (x - (x1 + x2) / 2).abs().maximum((y - (y1 + y2) / 2).abs())
        eligible &= from_centre < radius
    # 3. The smallest of these objects, (N, chunk).
    area, row = torch.where(eligible, areas, torch.inf).min(1)
    return torch.where(area < torch.inf, row, NEGATIVE)
