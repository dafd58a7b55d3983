"""Crops and resizes of classification: against mmpretrain's results, and at odd sizes."""

import cv2
import numpy as np
import pytest

from hrdet.data import DataError, RandomFlip
from hrdet.data.transforms import CenterCrop, RandomResizedCrop, ResizeEdge, apply
from hrdet.structures import ClassLabel, ImageMeta, Sample, SegmentationMap

IMAGES = ['000000520707', '000000349184']


def sample_of(image, truth=None):
    size = image.shape[:2]
    return Sample(image, ImageMeta('x.jpg', 0, size, size, size), truth)


@pytest.fixture
def blank():
    return lambda h, w: sample_of(np.zeros((h, w, 3), np.uint8), ClassLabel(3))


def test_a_thin_image_that_would_take_gigabytes_is_named(blank):
    with pytest.raises(DataError, match=r'x\.jpg: 65000 x 1 pixels would become 16640000 x 256'):
        ResizeEdge(256)(blank(1, 65000), None)


@pytest.mark.parametrize('number', [0, 1])
def test_the_test_pipeline(golden_cls, photo, number):
    steps = [ResizeEdge(256, backend='pillow'), CenterCrop(224)]
    sample = apply(steps, sample_of(photo(IMAGES[number])), np.random.default_rng(0))
    np.testing.assert_array_equal(sample.image, golden_cls.image(f'img{number}_crop_bgr_png'))
    assert sample.meta.input_size == sample.meta.padded_size == (224, 224)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_training_pipeline(golden_cls, photo, legacy_stream, seed):
    steps = [RandomResizedCrop(224, backend='pillow'), RandomFlip(0.5)]
    sample = apply(steps, sample_of(photo(IMAGES[0]), ClassLabel(7)), legacy_stream(seed))
    np.testing.assert_array_equal(sample.image, golden_cls.image(f'rrcflip_seed{seed}_bgr_png'))
    assert sample.meta.flipped == golden_cls[f'rrcflip_seed{seed}_flip']
    assert sample.truth == ClassLabel(7)


@pytest.mark.parametrize('size', [(1, 1), (1, 500), (333, 7), (64, 64), (500, 375)])
def test_any_size_becomes_the_input_size(blank, size):
    rng = np.random.default_rng(1)
    for transform in (RandomResizedCrop(32), RandomResizedCrop((32, 32), backend='pillow')):
        assert transform(blank(*size), rng).image.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ('edge', 'size', 'expected'),
    [
        ('short', (100, 150), (64, 96)),
        ('short', (150, 100), (96, 64)),
        ('long', (100, 150), (42, 64)),
        ('long', (150, 100), (64, 42)),
        ('width', (150, 100), (96, 64)),
        ('height', (150, 100), (64, 42)),
        ('long', (3, 1000), (1, 64)),
    ],
)
def test_resize_edge(blank, edge, size, expected):
    transform = ResizeEdge(64, edge)
    assert transform(blank(*size), None).image.shape[:2] == expected
    assert transform.largest_sizes(np.array([[size]])).tolist() == [[list(expected)]]


def test_label_maps_follow(blank):
    """Where a label map is there, it is cut and resized with its image."""
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 9
    image = np.repeat(labels[..., None], 3, axis=2)
    sample = RandomResizedCrop(20, (1.0, 1.0), (1.5, 1.5))(
        sample_of(image, SegmentationMap(labels)), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(sample.truth.labels[:, :9], 0)
    np.testing.assert_array_equal(sample.truth.labels[:, 11:], 9)
    np.testing.assert_array_equal(sample.image[:, :9], 0)


def test_backends_differ_and_are_named(photo):
    image = photo(IMAGES[0])
    by_opencv = ResizeEdge(256)(sample_of(image), None).image
    expected = cv2.resize(image, by_opencv.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(by_opencv, expected)
    with pytest.raises(ValueError, match="backend is 'cv2' or 'pillow', not 'PIL'"):
        ResizeEdge(256, backend='PIL')
    with pytest.raises(ValueError, match='interpolation is one of'):
        ResizeEdge(256, backend='pillow', interpolation='area')


def test_center_crop_of_a_smaller_image(blank):
    sample = CenterCrop((10, 20))(blank(6, 30), None)
    assert sample.image.shape == (6, 20, 3)


@pytest.mark.parametrize('size', [0, (3,), (3, 4, 5), (-1, 2), 1.5])
def test_sizes_that_are_none(size):
    with pytest.raises((ValueError, TypeError), match='size'):
        CenterCrop(size)
