"""Masks of COCO segmentations; nothing unchecked reaches pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from hrdet.data.annotations import rasterise

SIZE = (6, 8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60))
def test_both_forms_of_run_lengths(seed, h, w):
    rng = np.random.default_rng(seed)
    mask = (rng.random((h, w)) < rng.random()).astype(np.uint8)
    compressed = coco_mask.encode(np.asfortranarray(mask))
    np.testing.assert_array_equal(rasterise(compressed, (h, w)), mask)
    text = dict(compressed, counts=compressed['counts'].decode())
    np.testing.assert_array_equal(rasterise(text, (h, w)), mask)
    flat, counts, value = mask.ravel('F'), [], 0
    while len(flat):  # runs of 0 and 1 in turn, column by column
        run = int(np.argmax(flat != value)) if (flat != value).any() else len(flat)
        counts.append(run)
        flat, value = flat[run:], 1 - value
    np.testing.assert_array_equal(rasterise(dict(size=[h, w], counts=counts), (h, w)), mask)


def test_a_polygon():
    mask = rasterise([[1.0, 1, 5, 1, 5, 4, 1, 4]], SIZE)
    assert mask.shape == SIZE
    assert mask.sum() == 12


@pytest.mark.parametrize('counts', [[10, 5], [], '', [1.5, 46.5], [-5, 53], [0, 49], '0'])
def test_run_lengths_cover_the_image_exactly(counts):
    with pytest.raises(ValueError, match='run lengths of an RLE'):
        rasterise(dict(size=list(SIZE), counts=counts), SIZE)


def test_run_lengths_of_another_image():
    with pytest.raises(ValueError, match='of size'):
        rasterise(dict(size=[2**31, 2**31], counts=[5]), SIZE)


@pytest.mark.parametrize('number', [4e8, -(2**31), float('nan'), float('inf'), None, '5'])
def test_coordinates_are_near_the_image(number):
    with pytest.raises(ValueError, match='coordinate'):
        rasterise([[1.0, 1, 5, number, 5, 4]], SIZE)


@pytest.mark.parametrize('polygon', [[1.0, 2, 3, 4], [1.0, 2, 3, 4, 5, 6, 7], 5])
def test_a_polygon_has_three_points(polygon):
    with pytest.raises(ValueError, match='three points'):
        rasterise([polygon], SIZE)
