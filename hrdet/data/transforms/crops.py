"""Choose boxes (y, x, h, w) in pixels to crop: pure functions of sizes and label maps.

Random numbers come from ``rng``, numpy's generator, in the same order as in mmpretrain and
mmsegmentation.
"""

import math

import cv2
import numpy as np

from hrdet.structures.truth import SEMANTIC_IGNORE

Box = tuple[int, int, int, int]


def centre_crop_box(size: tuple[int, int], crop: tuple[int, int]) -> Box:
    """The middle of an image of ``size`` (h, w); of a smaller image as much as there is."""
    y, x = (max(round((edge - part) / 2), 0) for edge, part in zip(size, crop))
    return y, x, min(crop[0], size[0] - y), min(crop[1], size[1] - x)


def random_resized_crop_box(
    size: tuple[int, int],
    rng: np.random.Generator,
    area_range: tuple[float, float] = (0.08, 1.0),
    aspect_range: tuple[float, float] = (3 / 4, 4 / 3),
    attempts: int = 10,
) -> Box:
    """A box of random area and proportions (Szegedy et al. 2015, section 6).

    Where no attempt fits into the image, it is the largest centred box of allowed proportions.

    Args:
        size: (h, w) of the image.
        rng: source of random numbers.
        area_range: area of the box over the image's.
        aspect_range: width over height; drawn on a logarithmic scale.
        attempts: boxes drawn before giving up.
    """
    h, w = size
    for _ in range(attempts):
        # 1. Draw area and proportions, and take a box that fits into the image.
        area = rng.uniform(*area_range) * h * w
        aspect = math.exp(rng.uniform(*map(math.log, aspect_range)))
        crop_w = round(math.sqrt(area * aspect))
        crop_h = round(math.sqrt(area / aspect))
        if 0 < crop_w <= w and 0 < crop_h <= h:
            y = int(rng.integers(0, h - crop_h + 1))
            x = int(rng.integers(0, w - crop_w + 1))
            return y, x, crop_h, crop_w
    # 2. Otherwise cut the image to the nearest allowed proportions.
    if w / h < min(aspect_range):
        h = round(w / min(aspect_range))
    elif w / h > max(aspect_range):
        w = round(h * max(aspect_range))
    return (size[0] - h) // 2, (size[1] - w) // 2, h, w


def random_crop_box(
    label: np.ndarray,
    crop: tuple[int, int],
    rng: np.random.Generator,
    cat_max_ratio: float = 1.0,
    ignore_index: int = SEMANTIC_IGNORE,
    attempts: int = 10,
) -> Box:
    """A box anywhere in a label map (h, w), in which no class dominates.

    A box is taken where it holds more than one class and the largest has less than
    ``cat_max_ratio`` of its pixels, without pixels of ``ignore_index``; after ``attempts`` boxes
    without success the next one is taken as it is.  A smaller image stays as it is.  Of ``label``
    nothing is read but its shape and the windows.
    """
    for _ in range(attempts if cat_max_ratio < 1 else 0):
        box = y, x, h, w = _random_box(label.shape, crop, rng)
        # Pixels of each label in the window, ignored ones left out.
        counts = count_labels(label[y : y + h, x : x + w])
        counts[ignore_index] = 0
        if np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < cat_max_ratio:
            return box
    return _random_box(label.shape, crop, rng)


def count_labels(label: np.ndarray) -> np.ndarray:
    """(256,) pixels of each label in a uint8 map (h, w)."""
    # float32, which is exact up to 2^24 pixels; twice as fast as numpy's bincount.
    if label.size >= 1 << 24:
        return np.bincount(label.ravel(), minlength=256)
    return cv2.calcHist([label], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def _random_box(size: tuple[int, int], crop: tuple[int, int], rng: np.random.Generator) -> Box:
    h, w = min(crop[0], size[0]), min(crop[1], size[1])
    y = int(rng.integers(0, size[0] - h + 1))
    return y, int(rng.integers(0, size[1] - w + 1)), h, w
