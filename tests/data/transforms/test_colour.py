"""The colour distortion of the detectors against plain float64 arithmetic."""

import colorsys

import numpy as np
import pytest

from hrdet.data import PhotoMetricDistortion
from hrdet.structures import GroundTruth, ImageMeta, Sample


def sample(h=40, w=60, boxes=((5, 5, 25, 30),), seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    truth = GroundTruth(boxes, np.arange(len(boxes)), np.empty((0, 4), np.float32))
    return Sample(image, ImageMeta('x', 1, (h, w), (h, w), (h, w)), truth)


class Fixed:
    """A random generator whose coins and uniform draws are given."""

    def __init__(self, coins, uniforms, order=(0, 1, 2)):
        self.coins, self.uniforms, self.order = list(coins), list(uniforms), order

    def random(self):
        return 0.0 if self.coins.pop(0) else 0.9

    def uniform(self, low, high):
        value = self.uniforms.pop(0)
        assert low <= value <= high
        return value

    def permutation(self, count):
        return np.array(self.order)


def reference(image, brightness, contrast, saturation, hue, contrast_first):
    """SSD's distortion in float64, channel by channel of each pixel, clipped to 0..255."""
    pixels = image.astype(np.float64) + brightness
    if contrast_first:
        pixels *= contrast
    pixels = pixels.clip(0, 255)
    for pixel in pixels.reshape(-1, 3):
        h, s, v = colorsys.rgb_to_hsv(*(pixel[::-1] / 255))
        rgb = colorsys.hsv_to_rgb((h + hue / 360) % 1, min(s * saturation, 1), v)
        pixel[:] = np.array(rgb[::-1]) * 255
    return pixels if contrast_first else (pixels * contrast).clip(0, 255)


@pytest.mark.parametrize('contrast_first', [True, False])
@pytest.mark.parametrize(
    ('brightness', 'contrast', 'saturation', 'hue'),
    [(20, 1.3, 1.4, 15), (-31, 0.6, 0.55, -17), (0, 1.5, 1, 0), (10, 1, 1, 18), (0, 1, 1, 0)],
)
def test_photometric_distortion(brightness, contrast, saturation, hue, contrast_first):
    before = sample()
    rng = Fixed([1, contrast_first, 1, 1, 1, 0], [brightness, contrast, saturation, hue])
    after = PhotoMetricDistortion()(before, rng).image
    expected = reference(before.image, brightness, contrast, saturation, hue, contrast_first)
    assert after.dtype == np.uint8
    # OpenCV's 256 hues are 1.4 degrees apart; rounded twice, a hue is off by up to that much, which
    # is 6 grey levels of a saturated pixel, times contrast and saturation; saturation is rounded
    # alike.  The average is small.
    error = np.abs(after - expected)
    assert error.max() <= 16
    assert error.mean() < 1.5
    if saturation == 1 and hue == 0:
        assert error.max() <= 0.5 + 1e-6


def test_photometric_coins_and_channels():
    before = sample()
    nothing = PhotoMetricDistortion()(before, Fixed([0] * 6, [20, 1.4, 1.4, 10]))
    np.testing.assert_array_equal(nothing.image, before.image)
    swapped = PhotoMetricDistortion()(
        before, Fixed([0, 0, 0, 0, 0, 1], [20, 1.4, 1.4, 10], order=(2, 0, 1))
    )
    np.testing.assert_array_equal(swapped.image, before.image[..., [2, 0, 1]])
    assert swapped.image.flags.c_contiguous
