"""Random changes of colour, on uint8 BGR images."""

from dataclasses import replace

import cv2
import numpy as np

from hrdet.data.transforms.geometry import Transform
from hrdet.ranges import Factors, HalfTurn, Level
from hrdet.registry import register
from hrdet.structures import Sample


@register()
class PhotoMetricDistortion(Transform):
    """Change brightness, contrast, saturation, hue and channel order, each with probability 1/2.

    Order and distributions follow SSD (Liu et al. 2016, section 2.2) as in the 2019 releases.
    Arithmetic is by 256-entry tables, so a value is rounded and clipped to 0..255 after each of the
    (at most three) steps.

    Args:
        brightness_delta: grey levels added, up to this much either way.
        contrast_range: factor of all channels.
        saturation_range: factor of the saturation.
        hue_delta: degrees on the colour circle, up to this much either way.
    """

    def __init__(
        self,
        brightness_delta: Level = 32,
        contrast_range: Factors = (0.5, 1.5),
        saturation_range: Factors = (0.5, 1.5),
        hue_delta: HalfTurn = 18,
    ):
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        def draw(low, high, neutral):
            value, chosen = rng.uniform(low, high), rng.random() < 0.5
            return value if chosen else neutral

        # 1. Draw everything, so that the number of draws does not depend on the outcome.
        brightness = draw(-self.brightness_delta, self.brightness_delta, 0.0)
        contrast_first = rng.random() < 0.5
        contrast = draw(*self.contrast_range, 1.0)
        saturation = draw(*self.saturation_range, 1.0)
        hue = draw(-self.hue_delta, self.hue_delta, 0.0)
        order = rng.permutation(3) if rng.random() < 0.5 else None

        # 2. Brightness, with contrast before or after saturation and hue, then the order of
        #    channels.
        image = _levels(sample.image, brightness, contrast if contrast_first else 1.0)
        if saturation != 1 or hue != 0:
            image = _hue_saturation(image, hue, saturation)
        if not contrast_first:
            image = _levels(image, 0.0, contrast)
        if order is not None:
            image = np.ascontiguousarray(image[:, :, order])
        return replace(sample, image=image)


def distort_colours(
    image: np.ndarray,
    rng: np.random.Generator,
    brightness_delta: float = 32,
    contrast_range: tuple[float, float] = (0.5, 1.5),
    saturation_range: tuple[float, float] = (0.5, 1.5),
    hue_delta: int = 18,
) -> np.ndarray:
    """Change brightness, contrast, saturation and hue, each with probability 1/2.

    mmsegmentation's ``PhotoMetricDistortion``, bit for bit: values are clipped and **truncated**
    after each step, saturation and hue go through HSV one after the other, and the contrast comes
    before them or after them.  (That of the detectors rounds, and draws in another order.)

    Args:
        image: (h, w, 3) uint8 BGR.
        rng: source of random numbers.
        brightness_delta: grey levels added, up to this much either way.
        contrast_range: factor of all channels.
        saturation_range: factor of the saturation.
        hue_delta: turns of 2 degrees, ``-hue_delta`` to ``hue_delta - 1``.

    Returns:
        (h, w, 3) uint8.
    """

    def chosen() -> bool:
        return bool(rng.integers(0, 2))

    # 1. Brightness.
    if chosen():
        image = scale_levels(image, offset=rng.uniform(-brightness_delta, brightness_delta))
    # 2. Contrast before saturation and hue ...
    contrast_first = chosen()
    if contrast_first and chosen():
        image = scale_levels(image, rng.uniform(*contrast_range))
    if chosen():
        # 3. Saturation, a factor in 0..255; then hue, in half degrees.
        saturation = _truncated(rng.uniform(*saturation_range), 0.0)
        image = _in_hsv(image, 1, saturation)
    if chosen():
        hue = (np.arange(256) + int(rng.integers(-hue_delta, hue_delta))) % 180
        image = _in_hsv(image, 0, hue.astype(np.uint8))
    # 4. ... or after them.
    if not contrast_first and chosen():
        image = scale_levels(image, rng.uniform(*contrast_range))
    return image


def scale_levels(image: np.ndarray, factor: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """``image * factor + offset`` in float32, clipped to 0..255 and truncated to uint8."""
    return cv2.LUT(image, _truncated(factor, offset))


def _truncated(factor: float, offset: float) -> np.ndarray:
    """(256,) uint8: where each level goes."""
    levels = np.arange(256, dtype=np.float32) * np.float32(factor) + np.float32(offset)
    return levels.clip(0, 255).astype(np.uint8)


def _in_hsv(image: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    """Apply a table to the hue (0), in half degrees, or to the saturation (1)."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., channel] = cv2.LUT(hsv[..., channel], table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def _levels(image: np.ndarray, offset: float, factor: float) -> np.ndarray:
    if offset == 0 and factor == 1:
        return image
    table = np.clip(np.rint((np.arange(256) + offset) * factor), 0, 255)
    return cv2.LUT(image, table.astype(np.uint8))


def _hue_saturation(image: np.ndarray, hue: float, saturation: float) -> np.ndarray:
    values = np.arange(256)
    # One table (256, 3) for hue (256 levels a turn), saturation and value.
    table = np.empty((1, 256, 3), np.uint8)
    table[0, :, 0] = np.rint(values + hue * 256 / 360).astype(int) % 256
    table[0, :, 1] = np.clip(np.rint(values * saturation), 0, 255)
    table[0, :, 2] = values
    turned = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL), table)
    return cv2.cvtColor(turned, cv2.COLOR_HSV2BGR_FULL)
