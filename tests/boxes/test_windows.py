import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes.windows import sliding_windows


def pair(text):
    return tuple(map(int, text.split('x')))


def test_windows_are_mmsegmentation_s(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as file:
        golden = {name: file[name] for name in file.files if name.startswith('slide_')}
    assert len(golden) == 5
    for name, expected in golden.items():
        size, crop, stride = name.removeprefix('slide_').split('_')
        crop, stride = crop.removeprefix('crop'), stride.removeprefix('stride')
        np.testing.assert_array_equal(
            sliding_windows(pair(size), pair(crop), pair(stride)), expected, err_msg=name
        )


edges = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(size=edges, window=edges, data=st.data())
def test_every_pixel_is_covered_by_windows_of_one_size(size, window, data):
    stride = tuple(data.draw(st.integers(1, edge)) for edge in window)
    covered = np.zeros(size, int)
    windows = sliding_windows(size, window, stride)
    for y1, y2, x1, x2 in windows:
        assert (y2 - y1, x2 - x1) == (min(window[0], size[0]), min(window[1], size[1]))
        covered[y1:y2, x1:x2] += 1
    assert covered.min() > 0
    assert len(set(windows)) == len(windows)


@pytest.mark.parametrize('stride', [(0, 1), (1, 9)])
def test_strides_that_leave_pixels_out(stride):
    with pytest.raises(ValueError, match=r'stride=.* must be between 1 and the window \(8, 8\)'):
        sliding_windows((20, 20), (8, 8), stride)
