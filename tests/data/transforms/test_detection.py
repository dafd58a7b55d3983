"""Transforms that look at boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.boxes import BoxConvention
from hrdet.data import RandomCrop, Resize
from hrdet.structures import GroundTruth, ImageMeta, Sample


def sample(h=40, w=60, boxes=((5, 5, 25, 30),), seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    truth = GroundTruth(boxes, np.arange(len(boxes)), np.empty((0, 4), np.float32))
    return Sample(image, ImageMeta('x', 1, (h, w), (h, w), (h, w)), truth)


class ModeTwo:
    """A random generator that always draws the one minimum, of the three modes there are then."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.uniform = self.rng.uniform

    def integers(self, bound):
        return 2 if bound == 3 else self.rng.integers(bound)


@pytest.mark.parametrize('min_iou', [0.1, 0.3, 0.5])
def test_random_crop_keeps_the_overlap(min_iou):
    """Every pixel holds its own place, so that a patch tells where it was cut."""
    transform = RandomCrop(min_ious=(min_iou,))
    before = sample(100, 120, [(10, 10, 100, 80), (20, 5, 110, 90)])
    before.truth.convention = BoxConvention.CONTINUOUS
    before.image[..., 0], before.image[..., 1] = np.arange(120), np.arange(100)[:, None]
    shapes = set()
    for seed in range(40):
        after = transform(before, ModeTwo(seed))
        h, w = after.image.shape[:2]
        shapes.add((h, w))
        assert 0.5 <= h / w <= 2
        assert h >= 29
        assert w >= 35
        left, top = map(int, after.image[0, 0, :2])
        for x1, y1, x2, y2 in before.truth.boxes.tolist():
            width = max(0, min(x2, left + w) - max(x1, left))
            height = max(0, min(y2, top + h) - max(y1, top))
            union = (x2 - x1) * (y2 - y1) + h * w - width * height
            assert width * height / union >= min_iou - 1e-6
        shifted = after.truth.boxes + np.float32([left, top, left, top])
        for box in shifted:
            inside = np.minimum(np.maximum(before.truth.boxes[:, :2], (left, top)), 1000)
            assert (np.abs(inside - box[:2]).sum(1) < 1e-4).any()
        assert len(after.truth.boxes) >= 1
    assert len(shapes) > 10


def test_random_crop_draws_every_mode():
    """With an impossible minimum what is left is the whole image, or any patch."""
    transform = RandomCrop(min_ious=(2.0,))
    before = sample(100, 120)
    results = [transform(before, np.random.default_rng(seed)) for seed in range(30)]
    whole = sum(after is before for after in results)
    assert 5 <= whole <= 25


@pytest.mark.parametrize(('h', 'w'), [(100, 120), (120, 100), (100, 100)])
def test_random_crop_keeps_the_orientation(h, w):
    """Squares count as portraits, as they do in batches of one ``pad_size``."""
    before = sample(h, w, [(30, 30, 70, 70)])
    shapes = {
        RandomCrop(keep_orientation=True)(before, np.random.default_rng(seed)).image.shape[:2]
        for seed in range(60)
    }
    assert len(shapes) > 20
    assert {width > height for height, width in shapes} == {w > h}


def fitted(h, w, long, short):
    """The size of an image that is made as large as fits, rounded half up."""
    ratio = min(long / max(h, w), short / min(h, w))
    return max(int(h * ratio + 0.5), 1), max(int(w * ratio + 0.5), 1)


@settings(max_examples=30, deadline=None)
@given(
    h=st.integers(20, 60),
    w=st.integers(20, 60),
    scale=st.sampled_from([(90, 50), (50, 30), (100, 40), (60, 60)]),
    keep=st.booleans(),
)
def test_bounds_hold_for_every_patch(h, w, scale, keep):
    """All patches, resized, against the bounds.

    In images of usual proportions that keep their orientation these are reached, but for a pixel
    or two: half of an odd edge is rounded down.
    """
    patches = [
        (ph, pw)
        for ph in range(int(0.3 * h), h + 1)
        for pw in range(int(0.3 * w), w + 1)
        if 0.5 <= ph / pw <= 2 and (not keep or (pw > ph) == (w > h))
    ]
    reached = np.array([fitted(*patch, *scale) for patch in [*patches, (h, w)]]).max(axis=0)
    bound = np.array([[[h, w]]])
    for transform in (RandomCrop(keep_orientation=keep), Resize(scale)):
        bound = transform.largest_sizes(bound)
    bound = bound.max(axis=0)[0]
    assert (reached <= bound).all()
    if keep and max(h, w) <= 2 * min(h, w):
        assert (bound <= reached + 2).all()
