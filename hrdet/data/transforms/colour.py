"""Changes of colour, on uint8 BGR images."""

import cv2
import numpy as np


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

    if chosen():
        image = scale_levels(image, offset=rng.uniform(-brightness_delta, brightness_delta))
    contrast_first = chosen()
    if contrast_first and chosen():
        image = scale_levels(image, rng.uniform(*contrast_range))
    if chosen():
        saturation = _truncated(rng.uniform(*saturation_range), 0.0)
        image = _in_hsv(image, 1, saturation)
    if chosen():
        hue = (np.arange(256) + int(rng.integers(-hue_delta, hue_delta))) % 180
        image = _in_hsv(image, 0, hue.astype(np.uint8))
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
