"""Sizes, crops, colours and labels against what mmsegmentation gave."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet.data.transforms.colour import distort_colours
from hrdet.data.transforms.crops import random_crop_box
from hrdet.data.transforms.labels import reduce_zero_label
from hrdet.data.transforms.sizes import keep_ratio_size, random_scale, scaled_size

PHOTO = '000000520707'


def numbers(text):
    return tuple(map(int, text.split('x')))


def cut(image, box):
    y, x, h, w = box
    return image[y : y + h, x : x + w]


def test_sizes_that_keep_the_ratio(golden_seg):
    names = [name for name in golden_seg.names if name.startswith('testsize_')]
    assert len(names) == 24
    for name in names:
        size, scale = name.removeprefix('testsize_').split('_scale')
        assert keep_ratio_size(numbers(size), numbers(scale)) == tuple(golden_seg[name]), name


def test_sizes_of_augmented_views(golden_seg):
    names = [name for name in golden_seg.names if name.startswith('ttasize_')]
    assert len(names) == 12
    for name in names:
        size, factor = name.removeprefix('ttasize_').split('_factor')
        assert scaled_size(numbers(size), float(factor)) == tuple(golden_seg[name]), name


@pytest.mark.parametrize('seed', range(12))
def test_random_crop_box(golden_seg, legacy_stream, seed):
    rng = legacy_stream(seed)
    y, x, h, w = random_crop_box(golden_seg.image('crop_label_png'), (96, 128), rng, 0.75)
    assert [y, y + h, x, x + w] == golden_seg[f'crop_seed{seed}'].tolist()
    assert rng.random() == golden_seg[f'crop_seed{seed}_next'], 'as many numbers are drawn'


@pytest.mark.parametrize('seed', range(10))
def test_distort_colours(golden_seg, legacy_stream, seed):
    rng, image = legacy_stream(seed), golden_seg.image('pmd_in_bgr_png')
    before = image.copy()
    distorted = distort_colours(image, rng)
    np.testing.assert_array_equal(distorted, golden_seg.image(f'pmd_seed{seed}_bgr_png'))
    assert rng.random() == golden_seg[f'pmd_seed{seed}_next'], 'as many numbers are drawn'
    np.testing.assert_array_equal(image, before)


def test_every_step_of_the_distortion_is_among_the_golden_ones(golden_seg):
    draws = [json.loads(str(golden_seg[f'pmd_seed{seed}_draws'])) for seed in range(10)]
    arguments = {tuple(args) for draw in draws for _, args, _ in draw}
    assert arguments == {(2,), (-32, 32), (0.5, 1.5), (-18, 18)}


@pytest.mark.parametrize('seed', range(6))
def test_the_training_pipeline(golden_seg, photo, legacy_stream, seed):
    rng, image = legacy_stream(seed), photo(PHOTO)
    label, key = golden_seg.image('train_label_png'), f'train_seed{seed}_'
    scale = random_scale((640, 320), (0.5, 2.0), rng)
    assert scale == tuple(golden_seg[key + 'scale'])
    size = keep_ratio_size(image.shape[:2], scale)
    assert size == tuple(golden_seg[key + 'resized_shape'])
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
    box = random_crop_box(label, (96, 128), rng, 0.75)
    image, label = cut(image, box), cut(label, box)
    flipped = rng.random() < 0.5
    assert flipped == golden_seg[key + 'flip']
    if flipped:
        image, label = image[:, ::-1], label[:, ::-1]
    image = distort_colours(image, rng)
    np.testing.assert_array_equal(label, golden_seg.image(key + 'label_png'))
    np.testing.assert_array_equal(image, golden_seg.image(key + 'bgr_png'))


def test_reduce_zero_label(golden_seg):
    found = reduce_zero_label(golden_seg['reduce_zero_in'])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found.ravel(), golden_seg['reduce_zero_out'])


@given(st.data())
def test_random_crop_takes_a_box_of_two_classes_where_it_finds_one(data):
    """One pixel of another class: boxes without it are refused, ten times."""
    y, x = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 9))
    label = np.zeros((12, 10), np.uint8)
    label[y, x] = 3
    seed = data.draw(st.integers(0, 1000))
    box = random_crop_box(label, (6, 5), np.random.default_rng(seed), 0.99)
    assert box[2:] == (6, 5)
    # The first of ten boxes that holds the pixel, else the eleventh.
    rng = np.random.default_rng(seed)
    for _ in range(11):
        top, left = int(rng.integers(0, 7)), int(rng.integers(0, 6))
        if top <= y < top + 6 and left <= x < left + 5:
            break
    assert box[:2] == (top, left)


def test_ignored_pixels_do_not_count_as_a_class():
    label = np.full((8, 8), 255, np.uint8)
    label[:4] = 1
    rng, counted = np.random.default_rng(0), np.random.default_rng(0)
    random_crop_box(label, (8, 8), rng, 0.75)
    for _ in range(11):
        counted.integers(0, 1), counted.integers(0, 1)
    assert rng.random() == counted.random(), 'eleven boxes: none had two classes'


def test_a_smaller_image_is_not_cropped():
    label = np.zeros((5, 30), np.uint8)
    box = random_crop_box(label, (10, 10), np.random.default_rng(0))
    assert (box[0], box[2], box[3]) == (0, 5, 10)
