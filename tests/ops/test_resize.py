"""A window of a resized image against OpenCV's resize of the whole."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrdet import ops

EDGES = st.tuples(st.integers(1, 90), st.integers(1, 90))


def noise(size):
    return np.random.default_rng(size[0] * 1000 + size[1]).integers(0, 256, (*size, 3), np.uint8)


@settings(max_examples=500, deadline=None)
@example((80, 60), (40, 30), (0.1, 0.1), (0.8, 0.8))  # OpenCV takes means of four pixels
@example((1, 1), (7, 9), (0.0, 0.0), (1.0, 1.0))
@example((50, 70), (50, 70), (0.2, 0.2), (0.5, 0.5))
@given(
    old=EDGES,
    new=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    start=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_pixels_of_opencv(old, new, start, share):
    """Exactly; noise shows every shift of a weight."""
    image = noise(old)
    top, left = (int((edge - 1) * part) for edge, part in zip(new, start))
    h, w = (max(1, int((n - s) * part)) for n, s, part in zip(new, (top, left), share))
    whole = cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR)
    got = ops.resize_window(image, new, (top, left, h, w))
    np.testing.assert_array_equal(got, whole[top : top + h, left : left + w])


@pytest.mark.parametrize('ratio', [0.3, 0.6, 1.3, 5 / 3, 2, 2.3, 3])
def test_sizes_of_photographs(ratio):
    """Places that float32 rounds, and whole vectors."""
    for old in [(480, 640), (427, 640), (640, 480), (333, 500), (1080, 1920)]:
        image = noise(old)
        new = tuple(round(edge * ratio) for edge in old)
        whole = cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(ops.resize_window(image, new, (0, 0, *new)), whole)


def test_extreme_values():
    """Sums that fill their 15 bits."""
    for image in (np.full((9, 9, 3), 255, np.uint8), np.tile(np.uint8([0, 255, 0]), (9, 9, 1))):
        whole = cv2.resize(image, (40, 31))
        np.testing.assert_array_equal(ops.resize_window(image, (31, 40), (0, 0, 31, 40)), whole)


def test_a_view_is_read_as_it_is():
    image = noise((60, 80))
    part = image[10:50, 20:60]
    expected = ops.resize_window(part.copy(), (60, 60), (5, 5, 50, 50))
    np.testing.assert_array_equal(ops.resize_window(part, (60, 60), (5, 5, 50, 50)), expected)


@pytest.mark.filterwarnings('error')
def test_images_that_torch_does_not_take_as_they_are():
    """Mirrored, of the other order of colours, not to be written to; OpenCV takes them all."""
    locked = noise((60, 80))
    locked.setflags(write=False)
    for image in (locked, locked[:, ::-1], noise((60, 80))[..., ::-1]):
        expected = cv2.resize(image, (60, 60))[5:55, 5:55]
        np.testing.assert_array_equal(ops.resize_window(image, (60, 60), (5, 5, 50, 50)), expected)


@pytest.mark.parametrize(
    ('image', 'window', 'message'),
    [
        (noise((8, 8))[..., :2], (0, 0, 4, 4), 'shape'),
        (noise((8, 8))[..., 0], (0, 0, 4, 4), 'shape'),
        (noise((8, 8)).astype(np.float32), (0, 0, 4, 4), 'uint8'),
        (noise((0, 8)), (0, 0, 4, 4), 'have pixels'),
        (noise((8, 8)), (-1, 0, 4, 4), r'16 x 12'),
        (noise((8, 8)), (0, 9, 4, 4), r'16 x 12'),
        (noise((8, 8)), (0, 0, 17, 4), r'16 x 12'),
        (noise((8, 8)), (0, 0, 0, 4), 'window'),
        (noise((8, 8)), (2**62, 0, 2**62, 4), 'window'),
    ],
)
def test_what_does_not_fit_is_refused(image, window, message):
    with pytest.raises(RuntimeError, match=message):
        ops.resize_window(image, (16, 12), window)


@pytest.mark.parametrize(
    'arguments',
    [
        (-(2**63), 8, 2**62, 0, 1, 8),  # differences that overflow
        (8, -(2**63), 0, 2**62, 8, 1),
        (8, 8, -(2**63), 0, 8, 8),
        (8, 8, 0, 0, -(2**63), 8),
        (2**31, 8, 0, 0, 8, 8),
        (2**62, 2**62, 2**62 - 8, 0, 8, 8),
    ],
)
def test_sizes_out_of_range_are_refused(arguments):
    with pytest.raises(RuntimeError, match='the window must have pixels and lie in the resized'):
        torch.ops.hrdet.resize_window(torch.from_numpy(noise((8, 8))), *arguments)


def test_sides_that_float32_rounds():
    """Positions near the end of 2^24 + 2 pixels are rounded up to the end, and not read there."""
    side = 2**24 + 2
    for shape, size in (((1, side, 3), (1, 2 * side)), ((side, 1, 3), (2 * side, 1))):
        image = np.zeros(shape, np.uint8)
        image[-1, -1] = 200
        window = (size[0] - 1, size[1] - 1, 1, 1)
        assert ops.resize_window(image, size, window).tolist() == [[[200] * 3]]


def test_operator_is_well_formed():
    arguments = (torch.from_numpy(noise((8, 9))), 16, 12, 1, 2, 10, 9)
    torch.library.opcheck(torch.ops.hrdet.resize_window.default, arguments)
