import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes import (
    BoxConvention,
    centerness,
    clip_boxes,
    decode_distances,
    encode_distances,
    grid_points,
    per_point,
)

ONE = torch.tensor([0.0, 0, 1, 1])
STRIDES = (8, 16, 32, 64, 128)
INCLUSIVE, CONTINUOUS = BoxConvention.INCLUSIVE, BoxConvention.CONTINUOUS
CPU = torch.device('cpu')
conventions = st.sampled_from([INCLUSIVE, CONTINUOUS])


@pytest.fixture(scope='module')
def golden(reference_dir):
    with np.load(reference_dir / 'fcos_ops.npz') as file:
        names = [k for k in file.files if 'points' in k or k.startswith('d2b') or 'featmap' in k]
        return {k: torch.from_numpy(np.asarray(file[k])) for k in names}


@pytest.mark.parametrize('pair', ['trainpair', 'evalpair'])
def test_points_are_mmdetection_s(golden, pair):
    sizes = tuple(map(tuple, golden[f'{pair}_featmap_sizes'].tolist()))
    points = grid_points(STRIDES, sizes, INCLUSIVE, CPU)
    assert torch.equal(points, torch.cat([golden[f'{pair}_points{i}'] for i in range(5)]))
    assert torch.equal(points, grid_points(STRIDES, sizes, CONTINUOUS, CPU))  # even strides


def test_decoding_is_mmdetection_s(golden):
    boxes = decode_distances(golden['d2b_points'], golden['d2b_dist'], INCLUSIVE)
    # The stored x2 + 1 costs a float32 rounding of a few hundred pixels.
    torch.testing.assert_close(boxes - ONE, golden['d2b_noclip'], rtol=0, atol=1e-4)
    clipped = clip_boxes(boxes, (200, 300), INCLUSIVE) - ONE
    torch.testing.assert_close(clipped, golden['d2b_clip_h200_w300'], rtol=0, atol=1e-4)


sizes = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=2)


@given(sizes=sizes.map(tuple), convention=conventions)
def test_grid_against_loops(sizes, convention):
    strides = (3, 8)
    points, values = [], []
    for stride, (h, w) in zip(strides, sizes):
        half = stride // 2 if convention is INCLUSIVE else stride / 2
        points += [[x * stride + half, y * stride + half] for y in range(h) for x in range(w)]
        values += [[stride + 0.5]] * (h * w)
    assert grid_points(strides, sizes, convention, CPU).tolist() == points
    assert per_point((3.5, 8.5), sizes, CPU).tolist() == values


def test_the_grid_is_kept():
    first = grid_points(STRIDES, ((2, 3),) * 5, INCLUSIVE, CPU)
    assert grid_points(STRIDES, ((2, 3),) * 5, INCLUSIVE, CPU) is first


numbers = st.integers(-2000, 2000).map(lambda n: n / 8)  # exact in float32


@given(
    point=st.tuples(numbers, numbers),
    box=st.tuples(numbers, numbers, numbers, numbers),
    convention=conventions,
)
def test_distances_lead_to_the_model_s_own_corners(point, box, convention):
    (x, y), (x1, y1, x2, y2) = point, box
    stored = torch.tensor([x1, y1, x2, y2]) + convention.offset * ONE
    distances = encode_distances(torch.tensor(point), stored, convention)
    assert distances.tolist() == [x - x1, y - y1, x2 - x, y2 - y]
    assert torch.equal(decode_distances(torch.tensor(point), distances, convention), stored)


side = st.floats(0.01, 500)


@given(left=side, top=side, right=side, bottom=side)
def test_centerness_against_the_paper_s_formula(left, top, right, bottom):
    across = min(left, right) / max(left, right)
    down = min(top, bottom) / max(top, bottom)
    distances = torch.tensor([left, top, right, bottom], dtype=torch.float64)
    value = centerness(distances).item()
    assert value == pytest.approx(math.sqrt(across * down), rel=1e-12)
    assert 0 < value <= 1
