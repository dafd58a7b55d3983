import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes import BoxConvention, clip_boxes, flip_boxes, scale_boxes

ONE = np.array([0, 0, 1, 1], np.float32)  # from inclusive corners to stored boxes
numbers = st.floats(-500, 500, width=32)
boxes_of_all_kinds = st.tuples(numbers, numbers, numbers, numbers)


@pytest.mark.parametrize('std', ['std1', 'stdA', 'stdB', 'stdC'])
def test_clip_is_the_release_s(golden_ops, std):
    boxes = golden_ops[f'delta2bbox_noclip_{std}'] + ONE
    clipped = clip_boxes(boxes, (200, 300), 'inclusive') - ONE
    # Adding and taking away the 1 may round once at coordinates up to 3000: 2^-13.
    np.testing.assert_allclose(
        clipped, golden_ops[f'delta2bbox_clip200x300_{std}'], rtol=0, atol=2e-4
    )


def test_scale_and_flip_are_the_release_s(golden_ops):
    """bbox_mapping: times 1.5, then mirrored in an image of width 450."""
    boxes = golden_ops['delta_proposals'] + ONE
    flipped = flip_boxes(boxes, 300.0) - ONE
    np.testing.assert_allclose(flipped, golden_ops['bbox_flip_w300'], rtol=0, atol=1e-4)
    mapped = flip_boxes(scale_boxes(boxes, (1.5, 1.5), 'inclusive'), 450.0) - ONE
    np.testing.assert_allclose(mapped, golden_ops['bbox_mapping_sf1.5_flip'], rtol=0, atol=1e-4)
    back = scale_boxes(flip_boxes(boxes, 450.0), (1 / 1.5, 1 / 1.5), 'inclusive') - ONE
    np.testing.assert_allclose(back, golden_ops['bbox_mapping_back_sf1.5_flip'], rtol=0, atol=1e-4)


@pytest.mark.parametrize('convention', list(BoxConvention))
@given(box=boxes_of_all_kinds, size=st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_clip_is_the_clip_of_the_model_s_own_corners(convention, box, size):
    offset = 1 if convention is BoxConvention.INCLUSIVE else 0
    height, width = size
    stored = np.array(box, np.float64) + offset * ONE
    limits = np.array([width, height, width, height]) - offset
    expected = np.clip(np.array(box, np.float64), 0, limits) + offset * ONE
    clipped = clip_boxes(stored, size, convention)
    # (x + 1) - 1 in float64 is off by 1e-13 at most at these sizes.
    np.testing.assert_allclose(clipped, expected, rtol=0, atol=1e-12)
    if box[0] <= box[2] and box[1] <= box[3]:
        assert (clipped[2:] - clipped[:2] >= offset - 1e-12).all()


@pytest.mark.parametrize('convention', list(BoxConvention))
@given(box=boxes_of_all_kinds, scale=st.tuples(st.floats(0.1, 4), st.floats(0.1, 4)))
def test_scale_is_that_of_the_model_s_own_corners_and_reversible(convention, box, scale):
    offset = 1 if convention is BoxConvention.INCLUSIVE else 0
    stored = np.array(box, np.float64) + offset * ONE
    scaled = scale_boxes(stored, scale, convention)
    expected = np.array(box, np.float64) * np.array([*scale, *scale]) + offset * ONE
    np.testing.assert_allclose(scaled, expected, rtol=1e-12, atol=1e-10)
    back = scale_boxes(scaled, (1 / scale[0], 1 / scale[1]), convention)
    np.testing.assert_allclose(back, stored, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize('convention', list(BoxConvention))
def test_numpy_and_torch_agree_bit_for_bit_and_keep_the_type(convention):
    rng = np.random.default_rng(0)
    boxes = rng.uniform(-100, 500, (2, 7, 4)).astype(np.float32)
    sizes = np.array([[200, 300], [310, 120]], np.float32)[:, None]
    scale = rng.uniform(0.3, 3, (2, 1, 2)).astype(np.float32)
    for function, argument in ((clip_boxes, sizes), (scale_boxes, scale)):
        array = function(boxes, argument, convention)
        tensor = function(torch.from_numpy(boxes), torch.from_numpy(argument), convention)
        assert array.dtype == np.float32
        assert array.shape == boxes.shape
        np.testing.assert_array_equal(array, tensor.numpy())
    np.testing.assert_array_equal(
        flip_boxes(boxes, 640), flip_boxes(torch.from_numpy(boxes), 640).numpy()
    )
    assert scale_boxes(boxes, (1.5, 2.5), convention).dtype == np.float32


def test_an_unknown_convention_is_an_error():
    with pytest.raises(ValueError, match='legacy'):
        clip_boxes(torch.zeros(1, 4), (2, 2), 'legacy')
