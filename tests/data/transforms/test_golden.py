"""The transforms against what the 2019 release gave for three COCO images."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from hrdet.data import CocoDataset, Pad, RandomFlip, RandResizeCrop, Resize, collate
from hrdet.data.transforms.geometry import resize

MEAN, STD = (np.float32(v) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
SCALES = ((512, 320), (1333, 800), (1000, 600))
RRC = {
    'A': ([(1400, 600), (1400, 800), (1400, 1000)], (1200, 800)),
    'B': ([(512, 200), (512, 320), (512, 400)], (320, 224)),
}


class Replay:
    """Stands in for a random generator: returns the draws of the release, in their order."""

    def __init__(self, draws):
        self.values = [value for _, value in draws]

    def integers(self, *bounds):
        return self.values.pop(0)


@pytest.fixture(scope='module')
def dataset(coco_val):
    return CocoDataset(*coco_val, with_mask=True)


@pytest.fixture(params=(0, 1, 2))
def image(request, golden, dataset):
    """Number of a golden image and its sample as it is loaded."""
    name = json.loads(str(golden['files']))[request.param]
    return request.param, dataset[dataset.table.file_names.index(name)]


def inclusive(boxes):
    return boxes - np.float32([0, 0, 1, 1])


def test_truth_as_loaded(golden, image):
    i, sample = image
    np.testing.assert_array_equal(inclusive(sample.truth.boxes), golden[f'img{i}_gt_bboxes'])
    np.testing.assert_array_equal(sample.truth.labels + 1, golden[f'img{i}_gt_labels'])
    np.testing.assert_array_equal(
        inclusive(sample.truth.ignored), golden[f'img{i}_gt_bboxes_ignore'].reshape(-1, 4)
    )
    rles = json.loads(str(golden[f'img{i}_gt_masks_rle']))[: len(sample.truth.masks)]
    np.testing.assert_array_equal(sample.truth.masks, [coco_mask.decode(rle) for rle in rles])


def test_resized_pixels_to_the_last_bit(golden, image):
    i, sample = image
    pixels = Resize((512, 320))(sample, np.random.default_rng(0)).image
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    assert digest == str(golden[f'img{i}_imrescale512x320_sha256'])


@pytest.mark.parametrize('flip', [0, 1])
@pytest.mark.parametrize('scale', SCALES)
def test_resize_flip_pad(golden, image, scale, flip):
    i, sample = image
    key = f'img{i}_s{scale[0]}x{scale[1]}_flip{flip}_'
    rng = np.random.default_rng(0)
    for transform in (Resize(scale), RandomFlip(flip), Pad(32)):
        sample = transform(sample, rng)
    meta, truth = sample.meta, sample.truth
    assert meta.input_size == tuple(golden[key + 'img_shape'][:2])
    assert meta.padded_size == tuple(golden[key + 'pad_shape'][:2])
    assert meta.scale == (float(golden[key + 'scale_factor']),) * 2
    assert meta.flipped == bool(flip)
    # float32 boxes; the release flips with W - x - 1 on inclusive corners: one rounding more.
    for name, boxes in (('gt_bboxes', truth.boxes), ('gt_bboxes_ignore', truth.ignored)):
        if key + name in golden:
            expected = golden[key + name].reshape(-1, 4)
            np.testing.assert_allclose(inclusive(boxes), expected, atol=2e-4)

    batch = collate([sample], size_divisor=32)
    normalised = np.zeros(batch.images.shape[1:], np.float32)
    h, w = meta.input_size
    normalised[:, :h, :w] = ((sample.image[..., ::-1] - MEAN) / STD).transpose(2, 0, 1)
    expected = golden[key + 'coco_img_values']
    found = normalised.reshape(-1)[golden[key + 'coco_img_flatidx']]
    np.testing.assert_allclose(found, expected, atol=1e-6)

    rles = json.loads(str(golden[key + 'gt_masks_rle']))[: len(truth.masks)]
    expected = np.array([coco_mask.decode(rle) for rle in rles])
    np.testing.assert_array_equal(batch.truth.masks[0].numpy(), expected)


def test_resize_without_the_ratio(golden, image):
    i, sample = image
    sample = Resize((512, 320), keep_ratio=False)(sample, np.random.default_rng(0))
    key = f'img{i}_noratio512x320_'
    assert sample.meta.input_size == tuple(golden[key + 'img_shape'][:2])
    np.testing.assert_allclose(sample.meta.scale, golden[key + 'scale_factor4'][:2], rtol=1e-6)
    expected = golden[key + 'gt_bboxes']
    np.testing.assert_allclose(inclusive(sample.truth.boxes), expected, atol=1e-4)


@pytest.mark.parametrize(
    ('setting', 'seed'), [('A', seed) for seed in range(3)] + [('B', seed) for seed in range(6)]
)
def test_rand_resize_crop(golden, image, setting, seed):
    i, sample = image
    key = f'img{i}_rrc{setting}_seed{seed}_zip_'
    rng = Replay(json.loads(str(golden[key + 'draws'])))
    cut = RandResizeCrop(*RRC[setting])(sample, rng)
    assert not rng.values, 'as many numbers are drawn as in the release'
    h, w = golden[key + 'image_shape'][:2]
    assert cut.image.shape == (h, w, 3)
    assert cut.meta.input_size == (h, w)
    # The release clips to W here, and to W - 1 where the sample is put together.
    limits = (w - 1, h - 1) * 2
    expected = np.minimum(golden[key + 'bboxes'], limits)
    np.testing.assert_allclose(inclusive(cut.truth.boxes), expected, atol=2e-4)
    np.testing.assert_array_equal(cut.truth.labels + 1, golden[key + 'labels'])
    # PIL's resize differs from OpenCV's by rounding where it enlarges, and smooths where it
    # shrinks: compare the enlarged ones.
    if h * w >= sample.image.shape[0] * sample.image.shape[1]:
        rgb = cut.image[..., ::-1].reshape(-1).astype(np.float32)
        difference = rgb[golden[key + 'image_hwc_flatidx']] - golden[key + 'image_hwc_values']
        assert np.abs(difference).mean() < 1


@pytest.mark.parametrize('seed', [0, 1])
def test_whole_training_sample_of_resize_crop(golden, image, seed):
    i, sample = image
    key = f'img{i}_zip_train_rrcB_seed{seed}_'
    draws = json.loads(str(golden[f'img{i}_rrcB_seed{seed}_zip_draws']))
    sample = RandResizeCrop(*RRC['B'])(sample, Replay(draws))
    sample = RandomFlip(int(golden[key + 'flip']))(sample, np.random.default_rng(0))
    np.testing.assert_allclose(
        inclusive(sample.truth.boxes), golden[key + 'gt_bboxes'].reshape(-1, 4), atol=2e-4
    )
    assert sample.image.shape == tuple(golden[key + 'img_shape'])


@pytest.mark.parametrize('seed', range(3))
def test_scales_come_from_where_the_release_takes_them(golden, seed):
    rng = np.random.default_rng(seed)
    three = [(1600, 1000), (1000, 600), (1333, 800)]
    assert {Resize(three).draw(rng) for _ in range(60)} == set(three)
    recorded = {tuple(row) for row in golden[f'random_scale_three_seed{seed}'].tolist()}
    assert recorded <= set(three)
    two = Resize([(1333, 640), (1333, 800)], 'range')
    drawn = np.array([two.draw(rng) for _ in range(3000)])
    assert drawn.min(0).tolist() == [1333, 640]
    assert drawn.max(0).tolist() == [1333, 800]


def test_masks_follow_the_crop(image):
    """A mask's pixels, cut by hand out of the resized mask."""
    _, sample = image
    scale = 320 / min(sample.meta.original_size)
    cut = RandResizeCrop([(512, 320)], (320, 224))(sample, np.random.default_rng(3))
    h, w = sample.meta.original_size
    size = (320, int(320 * w / h)) if h <= w else (int(320 * h / w), 320)
    whole = resize(sample, size, (scale, scale))
    window = cut.image
    found = cv2.matchTemplate(whole.image, window, cv2.TM_SQDIFF)
    top, left = np.unravel_index(found.argmin(), found.shape)
    place = (slice(top, top + window.shape[0]), slice(left, left + window.shape[1]))
    np.testing.assert_array_equal(whole.image[place], window)
    inside = whole.truth.masks[:, place[0], place[1]]
    centres = inclusive(whole.truth.boxes).reshape(-1, 2, 2).mean(1) - (left, top)
    kept = ((centres > 0) & (centres < window.shape[1::-1])).all(1)
    np.testing.assert_array_equal(cut.truth.masks, inside[kept])
