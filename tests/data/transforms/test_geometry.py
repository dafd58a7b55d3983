"""What every transform that moves pixels must keep true, on drawn scenes.

A sample is a black picture with a white rectangle for every box, painted in a mask as well; after
any transform each box must still enclose its mask.
"""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.boxes import BoxConvention
from hrdet.data import (
    Expand,
    Pad,
    RandomCrop,
    RandomFlip,
    RandResizeCrop,
    Resize,
    SegRescale,
)
from hrdet.data.transforms import SEMANTIC_IGNORE
from hrdet.data.transforms.geometry import crop, resize, resize_crop
from hrdet.structures import GroundTruth, ImageMeta, LoadedProposals, Sample

CONVENTIONS = list(BoxConvention)


def scene(
    seed: int, h: int, w: int, count: int = 3, convention: BoxConvention = BoxConvention.INCLUSIVE
) -> Sample:
    rng = np.random.default_rng(seed)
    image = np.zeros((h, w, 3), np.uint8)
    masks = np.zeros((count, h, w), np.uint8)
    boxes = np.zeros((count, 4), np.float32)
    for mask, box in zip(masks, boxes):
        x1, y1 = rng.integers(w - 12), rng.integers(h - 12)
        x2, y2 = rng.integers(x1 + 12, w + 1), rng.integers(y1 + 12, h + 1)
        mask[y1:y2, x1:x2] = 1
        box[:] = x1, y1, x2, y2
    image[masks.any(0)] = 255
    truth = GroundTruth(
        boxes=boxes,
        labels=np.arange(count),
        ignored=boxes.copy(),
        masks=masks,
        semantic=masks.any(0).astype(np.uint8),
        convention=convention,
    )
    rows = np.concatenate([boxes, np.ones((count, 1), np.float32)], axis=1)
    proposals = LoadedProposals(rows, convention)
    return Sample(image, ImageMeta('x', 1, (h, w), (h, w), (h, w)), truth, proposals)


def extent(mask: np.ndarray) -> list[int]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def transforms(convention: BoxConvention) -> list:
    exact = convention is BoxConvention.CONTINUOUS
    return [
        Resize((90, 60), exact_scale=exact),
        Resize([(80, 40), (120, 70)], 'range', exact_scale=exact),
        Resize((70, 50), keep_ratio=False, exact_scale=exact),
        RandomFlip(1),
        RandResizeCrop([(150, 50), (150, 90)], (80, 60), exact),
        RandomCrop(),
        Expand(ratio_range=(1, 2)),
    ]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    h=st.integers(40, 130),
    w=st.integers(40, 130),
    which=st.integers(0, 6),
    convention=st.sampled_from(CONVENTIONS),
)
def test_everything_moves_with_the_image(seed, h, w, which, convention):
    before = scene(seed, h, w, convention=convention)
    transform = transforms(convention)[which]
    after = transform(before, np.random.default_rng(seed))
    size, truth = after.image.shape[:2], after.truth
    assert after.meta.input_size == after.meta.padded_size == size
    assert truth.masks.shape[1:] == truth.semantic.shape == size
    assert len(truth.masks) == len(truth.boxes) == len(truth.labels)
    assert np.all(size <= transform.largest_sizes(np.array([[[h, w]]])).max(axis=0))
    assert np.isfinite(truth.boxes).all()
    limit = (size[1], size[0]) * 2
    for boxes in (truth.boxes, truth.ignored, after.proposals.rows[:, :4]):
        assert boxes.dtype == np.float32
        assert (boxes >= 0).all()
        assert (boxes <= limit).all()
        assert (boxes[:, 2:] >= boxes[:, :2]).all()
    # A mask's nearest pixels may lie a pixel off the resampled edge, at most one output pixel, or
    # half an input pixel where that is larger.
    slack = 1 + max(after.meta.scale)
    for box, mask in zip(truth.boxes, truth.masks):
        np.testing.assert_allclose(box, extent(mask), atol=slack)
    if len(truth.labels) == 3:
        np.testing.assert_allclose(truth.ignored, truth.boxes)
        np.testing.assert_allclose(after.proposals.rows[:, :4], truth.boxes)
    seen = truth.semantic != SEMANTIC_IGNORE
    white = after.image[..., 0] > 127
    assert (white == (truth.semantic == 1))[seen].mean() > 0.9
    # Nothing was changed in place.
    np.testing.assert_array_equal(before.truth.boxes, scene(seed, h, w).truth.boxes)
    np.testing.assert_array_equal(before.image, scene(seed, h, w).image)


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_images_without_boxes_pass(convention):
    for transform in [*transforms(convention), Pad(32), SegRescale(0.5)]:
        for seed in range(4):
            after = transform(scene(1, 60, 70, 0, convention), np.random.default_rng(seed))
            assert after.truth.boxes.shape == (0, 4)
            assert len(after.truth.masks) == 0
            bare = scene(1, 60, 70, 0, convention)
            bare.truth = bare.proposals = None
            assert transform(bare, np.random.default_rng(seed)).truth is None


def test_flip_twice_is_nothing():
    before = scene(5, 51, 67)
    flip = RandomFlip(1)
    rng = np.random.default_rng(0)
    after = flip(flip(before, rng), rng)
    assert not after.meta.flipped
    np.testing.assert_array_equal(after.image, before.image)
    np.testing.assert_array_equal(after.truth.boxes, before.truth.boxes)
    np.testing.assert_array_equal(after.truth.masks, before.truth.masks)


def test_flip_ratio_is_a_probability():
    before, rng = scene(5, 51, 67), np.random.default_rng(0)
    flipped = sum(RandomFlip(0.25)(before, rng).meta.flipped for _ in range(400))
    assert 70 <= flipped <= 130  # mean 100, four standard deviations of 8.7 but for rounding


def test_continuous_scale_is_that_of_whole_pixels():
    after = Resize((100, 37), exact_scale=True)(scene(0, 61, 83), np.random.default_rng(0))
    h, w = after.meta.input_size
    assert after.meta.scale == (w / 83, h / 61)


def test_every_scale_of_resize_crop_is_drawn():
    transform = RandResizeCrop([(200, 50), (200, 60), (200, 70)], (500, 500))
    before, rng = scene(0, 60, 90), np.random.default_rng(0)
    assert {transform(before, rng).image.shape[0] for _ in range(50)} == {50, 60, 70}


def test_resize_crop_keeps_the_long_edge_in_bounds():
    after = RandResizeCrop([(100, 60)], (500, 500))(scene(0, 40, 120), np.random.default_rng(0))
    assert after.image.shape[:2] == (33, 99)


def test_resize_crop_of_a_square_is_upright():
    after = RandResizeCrop([(400, 100)], (90, 60))(scene(0, 50, 50), np.random.default_rng(0))
    assert after.image.shape[:2] == (90, 60)


def test_a_crop_keeps_what_is_visible():
    """Boxes by their centre; ignored regions and proposals as long as any of them shows."""
    before = scene(0, 60, 80, 3, BoxConvention.CONTINUOUS)
    rows = np.float32([[0, 0, 30, 30], [0, 0, 22, 22], [0, 0, 20, 20]])
    before.truth.boxes = before.truth.ignored = rows
    before.proposals.rows = np.concatenate([rows, np.float32([[3], [2], [1]])], axis=1)
    after = crop(before, 20, 20, (30, 40))
    assert after.truth.boxes.tolist() == []
    assert after.truth.ignored.tolist() == [[0, 0, 10, 10], [0, 0, 2, 2]]
    assert after.proposals.rows.tolist() == [[0, 0, 10, 10, 3], [0, 0, 2, 2, 2]]
    after = crop(before, 14, 14, (30, 40))
    assert after.truth.boxes.tolist() == [[0, 0, 16, 16]]
    assert after.truth.labels.tolist() == [0]
    np.testing.assert_array_equal(after.truth.masks, before.truth.masks[:1, 14:44, 14:54])


def test_pad_declares_only():
    after = Pad(32)(scene(0, 50, 64), np.random.default_rng(0))
    assert after.meta.padded_size == (64, 64)
    assert after.image.shape[:2] == after.meta.input_size == (50, 64)


def test_seg_rescale_takes_every_eighth_pixel():
    before = scene(0, 50, 71)
    after = SegRescale(0.125)(before, np.random.default_rng(0))
    np.testing.assert_array_equal(after.truth.semantic, before.truth.semantic[::8, ::8])
    assert after.truth.semantic.shape == (7, 9)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: Resize([(9, 9)] * 3, 'range'), 'two scales'),
        (lambda: Resize((9, 9), 'rang'), "'rang'"),
        (lambda: Resize([]), 'at least one'),
        (lambda: Resize((9.5, 3)), 'whole numbers'),
        (lambda: RandomFlip(1.5), 'probability'),
        (lambda: Pad(0), 'size_divisor'),
        (lambda: SegRescale(0.3), 'whole number'),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), convention=st.sampled_from(CONVENTIONS))
def test_resize_crop_is_resize_and_crop(seed, convention):
    rng = np.random.default_rng(seed)
    h, w, new_h, new_w = rng.integers(20, 90, 4).tolist()
    before = scene(seed, h, w, convention=convention)
    before.image = rng.integers(0, 256, before.image.shape, dtype=np.uint8)
    top, left = int(rng.integers(new_h)), int(rng.integers(new_w))
    window = (int(rng.integers(1, new_h - top + 1)), int(rng.integers(1, new_w - left + 1)))
    how = (new_h, new_w), (new_w / w, new_h / h)
    expected = crop(resize(before, *how), left, top, window)
    after = resize_crop(before, *how, left, top, window)
    np.testing.assert_equal(asdict(after), asdict(expected))
