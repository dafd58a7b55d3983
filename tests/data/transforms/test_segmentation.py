"""Transforms of segmentation: against mmsegmentation's results, and joined with each other."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.data import RandomFlip, Resize, collate
from hrdet.data.transforms import (
    PadToSize,
    RandomResize,
    ResizeByFactor,
    SegPhotoMetricDistortion,
    SegRandomCrop,
    apply,
    fuse,
)
from hrdet.data.transforms.crops import count_labels
from hrdet.data.transforms.segmentation import _ResizedLabels
from hrdet.structures import ClassLabel, ImageMeta, Sample, SegmentationMap

PHOTO = '000000520707'


def sample_of(image, labels=None):
    size = image.shape[:2]
    truth = None if labels is None else SegmentationMap(labels)
    return Sample(image, ImageMeta('x.png', 0, size, size, size), truth)


def pipeline():
    return [
        RandomResize((640, 320), (0.5, 2.0)),
        SegRandomCrop((96, 128), 0.75),
        RandomFlip(0.5),
        SegPhotoMetricDistortion(),
    ]


@pytest.mark.parametrize('joined', [False, True])
@pytest.mark.parametrize('seed', range(6))
def test_the_training_pipeline(golden_seg, photo, legacy_stream, seed, joined):
    sample = sample_of(photo(PHOTO), golden_seg.image('train_label_png'))
    steps = fuse(pipeline()) if joined else pipeline()
    assert len(steps) == (3 if joined else 4)
    sample = apply(steps, sample, legacy_stream(seed))
    key = f'train_seed{seed}_'
    np.testing.assert_array_equal(sample.truth.labels, golden_seg.image(key + 'label_png'))
    np.testing.assert_array_equal(sample.image, golden_seg.image(key + 'bgr_png'))
    assert sample.meta.flipped == golden_seg[key + 'flip']


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 10**6), st.booleans())
def test_joined_transforms_equal_separate_ones(h, w, seed, keep_ratio):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (h, w, 3), np.uint8)
    labels = rng.integers(0, 3, (h, w), np.uint8)
    steps = [RandomResize((80, 40), (0.5, 2.0), keep_ratio), SegRandomCrop((24, 32), 0.6)]
    sample = sample_of(image, labels)
    separate = apply(steps, sample, np.random.default_rng(seed))
    joined = apply(fuse(steps), sample, np.random.default_rng(seed))
    np.testing.assert_array_equal(joined.truth.labels, separate.truth.labels)
    np.testing.assert_array_equal(joined.image, separate.image)
    assert joined.meta == separate.meta


def test_without_truth_the_same_draws_are_joined_too():
    sample = sample_of(np.zeros((50, 70, 3), np.uint8))
    a, b = np.random.default_rng(0), np.random.default_rng(0)
    one = apply(pipeline()[:2], sample, a)
    two = apply(fuse(pipeline()[:2]), sample, b)
    assert one.image.shape == two.image.shape
    assert a.random() == b.random()


@pytest.mark.parametrize('size', [(512, 683), (375, 500), (1024, 2048)])
@pytest.mark.parametrize('factor', [0.5, 0.75, 1.0, 1.25, 1.5, 1.75])
def test_two_rules_of_multi_scale_tests(size, factor):
    """0.x: times the test scale; 1.x: times the image.  Equal where the two sizes are."""
    sample = sample_of(np.zeros((*size, 3), np.uint8))
    by_image = ResizeByFactor(factor)(sample, None).meta.input_size
    assert by_image == tuple(int(edge * factor + 0.5) for edge in size)
    scale = (int(2048 * factor), int(1024 * factor))
    by_scale = Resize(scale)(sample, np.random.default_rng(0)).meta.input_size
    assert (by_scale == by_image) == (size == (1024, 2048))


def test_padding_by_the_mean_is_added_to_the_batch():
    sample = sample_of(np.full((5, 9, 3), 7, np.uint8), np.ones((5, 9), np.uint8))
    sample = PadToSize((8, 8))(sample, None)
    assert sample.meta.input_size == (5, 9)
    assert sample.meta.padded_size == (8, 9)
    batch = collate([sample])
    assert batch.images.shape == (1, 3, 8, 9)
    assert batch.input_sizes.tolist() == [[5, 9]], 'which the model fills with zeros'
    assert batch.truth.labels[0, 5:].eq(255).all()


def test_padding_by_black_is_normalised_as_the_image():
    sample = sample_of(np.full((5, 9, 3), 7, np.uint8), np.ones((5, 9), np.uint8))
    padded = PadToSize(12, pad_val=0)(sample, None)
    assert padded.meta.input_size == padded.meta.padded_size == (12, 12)
    assert (padded.image[:5, :9] == 7).all()
    assert padded.image.sum() == 7 * 3 * 45
    assert (padded.truth.labels[:5, :9] == 1).all()
    assert (padded.truth.labels == 255).sum() == 144 - 45
    assert PadToSize(4, pad_val=0)(sample, None) is sample


def test_largest_sizes():
    sizes = np.array([[[100, 200], [300, 200]]])
    assert RandomResize((80, 40), (0.5, 2.0)).largest_sizes(sizes).tolist() == [
        [[80, 160], [120, 80]]
    ]
    assert SegRandomCrop((96, 128)).largest_sizes(sizes).tolist() == [[[96, 128], [96, 128]]]
    assert PadToSize(250).largest_sizes(sizes).tolist() == [[[250, 250], [300, 250]]]
    assert ResizeByFactor(0.5).largest_sizes(sizes).tolist() == [[[50, 100], [150, 100]]]


def test_only_neighbours_are_joined():
    scaling, cropping = pipeline()[:2]
    steps = [scaling, RandomFlip(0.5), cropping]
    assert fuse(steps) == steps
    assert len(fuse([scaling, cropping, scaling, cropping])) == 2


def test_a_crop_by_classes_needs_label_maps():
    sample = sample_of(np.zeros((5, 5, 3), np.uint8))
    sample.truth = ClassLabel(1)
    with pytest.raises(ValueError, match='needs label maps, and the data set has ClassLabel'):
        SegRandomCrop(3)(sample, np.random.default_rng(0))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: RandomResize((80, 40), (2.0, 0.5)), 'ratio_range'),
        (lambda: SegRandomCrop(8, 75), 'cat_max_ratio is a share'),
        (lambda: ResizeByFactor(0), 'factor must be above 0'),
    ],
)
def test_impossible_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@settings(max_examples=200)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_labels_in_a_window_are_opencvs(h, w, new_h, new_w):
    labels = np.random.default_rng(h * w).integers(0, 256, (h, w), np.uint8)
    whole = cv2.resize(labels, (new_w, new_h), interpolation=cv2.INTER_NEAREST)
    resized = _ResizedLabels(labels, (new_h, new_w))
    np.testing.assert_array_equal(resized[0:new_h, 0:new_w], whole)
    window = (slice(new_h // 3, new_h // 2 + 1), slice(new_w // 4, new_w))
    np.testing.assert_array_equal(resized[window], whole[window])


def test_labels_are_counted():
    labels = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)[3:33, 5:45]
    counts = count_labels(labels)
    np.testing.assert_array_equal(counts, np.bincount(labels.ravel(), minlength=256))
    large = np.zeros((4097, 4096), np.uint8)
    large[0, 0] = 9
    assert count_labels(large)[[0, 9]].tolist() == [4097 * 4096 - 1, 1]
