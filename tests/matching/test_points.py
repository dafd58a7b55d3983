import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes import BoxConvention, centerness, encode_distances, grid_points, per_point
from hrdet.matching import assign_points, assigner
from hrdet.structures import GroundTruth

STRIDES = (8, 16, 32, 64, 128)
RANGES = ((-1.0, 64.0, 128.0, 256.0, 512.0), (64.0, 128.0, 256.0, 512.0, 1e8))
CPU = torch.device('cpu')
INCLUSIVE = BoxConvention.INCLUSIVE


def batch_truth(boxes, labels=None):
    """Lists of boxes (G_i, 4) as they are stored, padded with junk that is not valid."""
    most = max(1, *map(len, boxes))
    truth = GroundTruth(
        torch.full((len(boxes), most, 4), -7.0),
        torch.zeros(len(boxes), most, dtype=torch.int64),
        torch.zeros(len(boxes), 0, 4),
        valid=torch.zeros(len(boxes), most, dtype=torch.bool),
    )
    truth.boxes[..., 2:] = 1e4
    for i, rows in enumerate(boxes):
        truth.boxes[i, : len(rows)] = torch.as_tensor(rows, dtype=torch.float32).reshape(-1, 4)
        truth.valid[i, : len(rows)] = True
        if labels is not None:
            truth.labels[i, : len(rows)] = labels[i]
    return truth


def column_pair(pair, sizes):
    return torch.cat([per_point(values, sizes, CPU) for values in pair], 1)


@pytest.fixture(scope='module')
def golden(reference_dir):
    with np.load(reference_dir / 'fcos_ops.npz') as file:
        names = [k for k in file.files if k.startswith(('train', 'eval', 'synth'))]
        return {k: torch.from_numpy(file[k]) for k in names if file[k].dtype.kind != 'U'}


@pytest.mark.parametrize('sampling', ['', '_centersampling'])
@pytest.mark.parametrize('scene', ['trainpair', 'evalpair', 'synth'])
def test_targets_are_mmdetection_s(golden, scene, sampling):
    """Real images, and a scene with nested boxes, equal ones and one without width."""
    sizes = tuple(map(tuple, golden[f'{scene}_featmap_sizes'].tolist()))
    points = grid_points(STRIDES, sizes, INCLUSIVE, CPU)
    boxes = [golden[f'{scene}_img{i}_gt_bboxes'] + torch.tensor([0, 0, 1, 1]) for i in (0, 1)]
    truth = batch_truth(boxes, [golden[f'{scene}_img{i}_gt_labels'] for i in (0, 1)])
    radius = per_point(STRIDES, sizes, CPU) * 1.5 if sampling else None
    gt_index = assign_points(points, column_pair(RANGES, sizes), truth, INCLUSIVE, radius)
    rows = gt_index.clamp(min=0)
    targets = encode_distances(
        points, truth.boxes.gather(1, rows[..., None].expand(-1, -1, 4)), INCLUSIVE
    )
    labels = truth.labels.gather(1, rows)
    starts = np.cumsum([0, *(h * w for h, w in sizes)])
    seen = 0
    for level, (start, end) in enumerate(itertools.pairwise(starts)):
        name = f'{scene}{sampling}_level{level}'
        # The golden rows: the points of the first image, then those of the second.
        positive = (gt_index[:, start:end] >= 0).flatten()
        assert len(positive) == golden[f'{name}_num_points']
        expected = golden[f'{name}_pos_inds'].long()
        assert torch.equal(positive.nonzero().squeeze(1), expected)
        assert torch.equal(
            labels[:, start:end].flatten()[expected], golden[f'{name}_pos_labels'].long()
        )
        got = targets[:, start:end].reshape(-1, 4)[expected]
        # The stored x2 + 1 costs a float32 rounding of up to 1344 pixels.
        expected_targets = golden[f'{name}_pos_bbox_targets']
        torch.testing.assert_close(got, expected_targets, rtol=0, atol=2e-4)
        torch.testing.assert_close(
            centerness(got), golden[f'{name}_pos_centerness'], rtol=1e-3, atol=1e-4
        )
        seen += len(expected)
    assert seen > 50


def brute_force(points, ranges, boxes, one, radius):
    """The sentences of FCOS, one point and one box at a time; boxes with their own corners."""
    found = []
    for p, (x, y) in enumerate(points):
        best, best_area = -1, math.inf
        for g, (x1, y1, x2, y2) in enumerate(boxes):
            sides = x - x1, y - y1, x2 - x, y2 - y
            if radius is None:
                inside = min(sides) > 0
            else:
                cx, cy, r = (x1 + x2) / 2, (y1 + y2) / 2, radius[p]
                inner = max(cx - r, x1), max(cy - r, y1), min(cx + r, x2), min(cy + r, y2)
                inside = min(x - inner[0], y - inner[1], inner[2] - x, inner[3] - y) > 0
            area = (x2 - x1 + one) * (y2 - y1 + one)
            if inside and ranges[p][0] <= max(sides) <= ranges[p][1] and area < best_area:
                best, best_area = g, area
        found.append(best)
    return found


half = st.integers(-10, 100).map(lambda n: n / 2)  # ties and points on sides are common
boxes = st.lists(st.tuples(half, half, half, half), max_size=6).map(
    lambda rows: [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows]
)


@given(
    images=st.lists(boxes, min_size=1, max_size=3),
    convention=st.sampled_from(list(BoxConvention)),
    radius=st.sampled_from([None, 1.5, 0.5]),
    limit=st.sampled_from([1, 50, 1 << 18]),
)
def test_assignment_against_loops(images, convention, radius, limit):
    """In any number of pieces, with images without objects."""
    sizes, strides = ((4, 6), (2, 3)), (8, 16)
    ranges = column_pair(((-1.0, 20.0), (20.0, 1e8)), sizes)
    points = grid_points(strides, sizes, convention, CPU)
    radii = None if radius is None else per_point(strides, sizes, CPU) * radius
    one = convention.offset
    stored = [np.array(rows).reshape(-1, 4) + np.array([0, 0, one, one]) for rows in images]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(assigner.CHUNK_ELEMENTS, 'cpu', limit)
        got = assign_points(points, ranges, batch_truth(stored), convention, radii)
    flat_radii = None if radii is None else radii[:, 0].tolist()
    for row, image in zip(got, images):
        expected = brute_force(points.tolist(), ranges.tolist(), image, one, flat_radii)
        assert row.tolist() == expected
