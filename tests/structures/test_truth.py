"""The truth of detection."""

import cv2
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrdet.structures.truth import resize_nearest


@settings(max_examples=300, deadline=None)
@example((7, 1), (6, 1), (0.0, 0.0))  # three pixels stay three
@given(
    old=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    new=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_part_of_a_map_has_the_pixels_of_the_whole(old, new, cut):
    """Exactly those that OpenCV makes of the whole; noise shows every shift."""
    rng = np.random.default_rng(sum(old) * 1000 + sum(new))
    image = rng.integers(0, 256, old, dtype=np.uint8)
    h, w = (max(1, round(edge * share)) for edge, share in zip(new, cut))
    whole = cv2.resize(image, new[::-1], interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(resize_nearest(image, new, (h, w)), whole[:h, :w])
