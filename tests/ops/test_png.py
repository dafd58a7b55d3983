"""Rows of a PNG, filtered by the specification's words and brought back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet import ops
from hrdet.ops import png

pytestmark = pytest.mark.skipif(not png.AVAILABLE, reason='the operators are not built')


def paeth(a, b, c):
    """The predictor as the specification writes it, for one byte."""
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    if pa <= pb and pa <= pc:
        return a
    return b if pb <= pc else c


def filtered(image, filters):
    """The rows (h, w, channels) as an encoder with these filters, one a row, writes them."""
    h, w, channels = image.shape
    rows = bytearray()
    padded = np.zeros((h + 1, w + 1, channels), int)
    padded[1:, 1:] = image
    for y, kind in enumerate(filters):
        rows.append(kind)
        for x in range(w):
            for k in range(channels):
                a, b, c = padded[y + 1, x, k], padded[y, x + 1, k], padded[y, x, k]
                guess = (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]
                rows.append((int(image[y, x, k]) - int(guess)) % 256)
    return rows


@given(
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.integers(0, 1000),
    st.data(),
)
def test_filters_are_undone(h, w, channels, seed, data):
    rng = np.random.default_rng(seed)
    if seed % 2:
        image = rng.integers(0, 256, (h, w, channels), np.uint8)
    else:  # ties of the predictor
        image = rng.choice(np.array([0, 1, 2, 254, 255], np.uint8), (h, w, channels))
    filters = data.draw(st.lists(st.integers(0, 4), min_size=h, max_size=h))
    result = ops.png_unfilter(filtered(image, filters), (h, w), channels)
    np.testing.assert_array_equal(result, image)


def test_predictor_of_all_small_triples():
    """Each of the three pixels, and each tie, decides somewhere."""
    levels = (0, 1, 2, 3, 127, 128, 254, 255)
    rows = [(a, b, c) for a in levels for b in levels for c in levels]
    for a, b, c in rows:
        image = np.array([[[c], [b]], [[a], [77]]], np.uint8)
        result = ops.png_unfilter(filtered(image, [0, 4]), (2, 2), 1)
        np.testing.assert_array_equal(result, image)


def test_what_does_not_fit():
    with pytest.raises(RuntimeError, match='2 rows of 1 \\+ 9 bytes'):
        ops.png_unfilter(bytearray(19), (2, 3), 3)
    with pytest.raises(RuntimeError, match='row 1 has the filter 5'):
        ops.png_unfilter(bytearray(4) + b'\5\0\0\0', (2, 3), 1)
    with pytest.raises(RuntimeError, match='one or three channels, not 4'):
        ops.png_unfilter(bytearray(10), (2, 1), 4)
    with pytest.raises(RuntimeError, match='positive'):
        ops.png_unfilter(bytearray(10), (-2, -5), 1)
