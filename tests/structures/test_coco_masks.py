"""Masks of COCO segmentations; nothing unchecked reaches pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from hrdet.structures.coco_masks import outlines_nothing, rasterise

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
    with pytest.raises(ValueError, match=r'three points|list of x, y pairs'):
        rasterise([polygon], SIZE)


def test_text_that_is_no_run_lengths_ends():
    """Bytes that all say "more follows" are no endless number."""
    with pytest.raises(ValueError, match='run lengths'):
        rasterise(dict(size=[6, 8], counts='o' * 1_000_000), (6, 8))


@pytest.mark.parametrize(
    ('segmentation', 'reason'),
    [
        (dict(size=5, counts=[48]), 'size 5'),
        (dict(size='68', counts=[48]), 'size 68'),
        (dict(size=[6, 8], counts=None), 'list or a text'),
        (dict(size=[6, 8], counts=[10.0, 38.0]), 'whole numbers'),
        (dict(size=[2**31, 2**31], counts=[2**62]), 'on an image of size'),
        ([[[1, 1], [2, 2], [3, 1]]], 'pairs'),
        ([1, 1, 5, 5, 3, 1], 'pairs'),
        ([['1', '1', '5', '5', '3', '1']], 'not numbers'),
        ([[True, True, False, False, True, False]], 'not numbers'),
        ([[10**400, 1, 5, 5, 3, 1]], 'not numbers'),
        ([[-(2**63), 1, 5, 5, 3, 1]], 'within 80 pixels'),
        ('abc', 'no segmentation'),
        (None, 'no segmentation'),
    ],
)
def test_forms_that_are_none(segmentation, reason):
    with pytest.raises(ValueError, match=reason):
        rasterise(segmentation, (6, 8))


@pytest.mark.parametrize(
    ('segmentation', 'nothing'),
    [
        ([[20.0, 1, 25, 1, 25, 5]], True),
        ([[-9.0, 1, -1, 1, -1, 5]], True),
        ([[20.0, 1, 25, 1, 25, 5], [1.0, 1, 5, 1, 5, 5]], False),
        (dict(size=[6, 8], counts=[48]), True),
        (dict(size=[6, 8], counts=[40, 8]), False),
    ],
)
def test_masks_that_outline_nothing(segmentation, nothing):
    assert outlines_nothing(segmentation, (6, 8)) == nothing
    assert rasterise(segmentation, (6, 8)).any() != nothing
