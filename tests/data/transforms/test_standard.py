"""Transforms for every task."""

import numpy as np
import pytest

from hrdet.data import Expand
from hrdet.structures import GroundTruth, ImageMeta, Sample


def sample(h=40, w=60, boxes=((5, 5, 25, 30),), seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    truth = GroundTruth(boxes, np.arange(len(boxes)), np.empty((0, 4), np.float32))
    return Sample(image, ImageMeta('x', 1, (h, w), (h, w), (h, w)), truth)


def test_expand_fills_with_the_mean_in_bgr():
    expand = Expand(mean=(123.675, 116.28, 103.53), to_rgb=True, ratio_range=(2, 2))
    before = sample()
    for seed in range(6):
        after = expand(before, np.random.default_rng(seed))
        if after is before:
            continue
        assert after.image.shape == (80, 120, 3)
        shift = (after.truth.boxes - before.truth.boxes)[0].astype(int)
        x, y = shift[:2]
        np.testing.assert_array_equal(after.image[y : y + 40, x : x + 60], before.image)
        after.image[y : y + 40, x : x + 60] = (104, 116, 124)
        assert (after.image == (104, 116, 124)).all()
        return
    pytest.fail('six images in a row were left alone')
