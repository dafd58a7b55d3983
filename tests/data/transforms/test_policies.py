"""Colour jitter, RandAugment and random erasing."""

import numpy as np
import pytest

from hrdet.data.transforms import ColorJitter, RandAugment, RandomErasing
from hrdet.data.transforms.policies import POLICIES, Policy, operate
from hrdet.structures import ClassLabel, ImageMeta, Sample


@pytest.fixture
def sample(photo):
    image = photo('000000520707')[:120, :160]
    size = image.shape[:2]
    return Sample(image, ImageMeta('x.jpg', 0, size, size, size), ClassLabel(1))


def grey(image):
    """ITU-R 601 luma of BGR, rounded, in 16 bits of fraction as Pillow has it."""
    b, g, r = (image[..., i].astype(np.int64) for i in range(3))
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16


def blend(other, image, factor):
    mixed = other + np.float32(factor) * (image.astype(np.float32) - other)
    return mixed.clip(0, 255).astype(np.uint8)


def test_jitter_is_a_blend_with_black_with_the_mean_grey_and_with_the_grey_picture(sample):
    image = sample.image
    expected = blend(np.float32(0), image, 1.3)
    np.testing.assert_array_equal(operate(image, [('brightness', 1.3)]), expected)
    mean = np.float32(int(grey(image).mean() + 0.5))
    np.testing.assert_array_equal(operate(image, [('contrast', 0.6)]), blend(mean, image, 0.6))
    picture = grey(image)[..., None].astype(np.float32)
    np.testing.assert_array_equal(operate(image, [('saturation', 1.7)]), blend(picture, image, 1.7))


def test_jitter_of_the_hue():
    image = np.array([[[0, 0, 255], [7, 7, 7]]], np.uint8)  # red, grey
    turned = operate(image, [('hue', 1 / 3)])
    assert turned[0, 0].tolist() == pytest.approx([0, 255, 0], abs=6)
    assert turned[0, 1].tolist() == [7, 7, 7]
    back = operate(turned, [('hue', -1 / 3)])
    np.testing.assert_allclose(back, image, atol=6)


def test_jitter_draws_within_its_ranges(sample):
    jitter = ColorJitter(0.4, (0.5, 0.9), 0, 0.1)
    limits = {'brightness': (0.6, 1.4), 'contrast': (0.5, 0.9), 'saturation': None}
    assert limits.items() <= jitter.ranges.items()
    assert ColorJitter(3).ranges['brightness'] == (0, 4)
    rng = np.random.default_rng(0)
    results = {jitter(sample, rng).image.tobytes() for _ in range(8)}
    assert len(results) == 8
    assert ColorJitter()(sample, rng) is sample
    with pytest.raises(ValueError, match='hue as one number is 0 or more, not -1'):
        ColorJitter(hue=-1)
    with pytest.raises(ValueError, match='contrast is a pair'):
        ColorJitter(contrast=(2, 1))


@pytest.mark.parametrize(('name', 'limits'), POLICIES['timm_increasing'])
def test_strength_zero_leaves_an_image_as_it_is(sample, name, limits):
    """But for posterizing (4 bits remain) and what has no strength."""
    weak = operate(sample.image, [(Policy(name, limits), limits[0] if limits else 0.0)])
    assert weak.shape == sample.image.shape
    assert weak.dtype == np.uint8
    if name == 'Posterize':
        np.testing.assert_array_equal(weak, sample.image & 0xF0)
    elif limits:
        np.testing.assert_array_equal(weak, sample.image)
        strong = operate(sample.image, [(Policy(name, limits), limits[1])])
        assert (strong != sample.image).mean() > 0.3


def test_operations_by_value(sample):
    image = sample.image

    def result(name, limits, value):
        return operate(image, [(Policy(name, limits, pad_val=(1, 2, 3)), value)])

    np.testing.assert_array_equal(result('Invert', None, 0.0), 255 - image)
    solarized = np.where(image < 100, image, 255 - image)
    np.testing.assert_array_equal(result('Solarize', (256, 0), 100), solarized)
    added = np.where(image < 128, np.minimum(image.astype(int) + 40, 255), image)
    np.testing.assert_array_equal(result('SolarizeAdd', (0, 110), 40.0), added)
    moved = result('TranslateX', (0, 1), 0.25)  # content moves to the left by a quarter
    np.testing.assert_array_equal(moved[:, :120], image[:, 40:])
    assert (moved[:, 120:] == (1, 2, 3)).all()


def test_randaugment_draws_anew_and_keeps_the_truth(sample):
    transform = RandAugment('timm_increasing', 2, 9, 0.5, prob=1.0)
    rng = np.random.default_rng(0)
    results = [transform(sample, rng) for _ in range(10)]
    assert len({result.image.tobytes() for result in results}) > 7
    assert all(result.truth is sample.truth for result in results)
    assert transform(sample, np.random.default_rng(4)).image.tobytes() == (
        transform(sample, np.random.default_rng(4)).image.tobytes()
    )
    assert RandAugment(prob=0.0)(sample, rng) is sample


def test_strengths():
    rng = np.random.default_rng(0)
    assert RandAugment(magnitude_level=9)._draw(rng) == 0.9
    uniform = [RandAugment(magnitude_level=8, magnitude_std='inf')._draw(rng) for _ in range(400)]
    assert 0 <= min(uniform) < 0.05
    assert 0.75 < max(uniform) <= 0.8
    normal = [RandAugment(magnitude_level=9, magnitude_std=2)._draw(rng) for _ in range(400)]
    assert max(normal) == 1.0
    assert 0.8 < np.mean(normal) < 0.9
    signs = [Policy('Rotate', (0, 30)).value(1.0, rng) for _ in range(100)]
    assert set(signs) == {30.0, -30.0}
    assert {Policy('Solarize', (256, 0)).value(0.5, rng) for _ in range(20)} == {128.0}


def test_policies_that_are_none():
    with pytest.raises(ValueError, match="policies is 'timm_increasing', not 'imagenet'"):
        RandAugment('imagenet')
    with pytest.raises(ValueError, match="no operation 'Shear'; known: AutoContrast"):
        RandAugment([('Shear', (0, 1))])
    with pytest.raises(ValueError, match='Rotate is given with limits None'):
        RandAugment([('Rotate', None)])
    with pytest.raises(ValueError, match="magnitude_std is a number or 'inf'"):
        RandAugment(magnitude_std='big')


def test_erasing(sample):
    rng = np.random.default_rng(0)
    area = sample.image.shape[0] * sample.image.shape[1]
    before = sample.image.copy()
    for _ in range(30):
        erased = RandomErasing(1.0, 0.05, 0.3, fill_color=(1, 2, 3))(sample, rng).image
        box = (erased == (1, 2, 3)).all(axis=2)
        assert 0.045 <= box.sum() / area <= 0.31
        rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
        assert box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    np.testing.assert_array_equal(sample.image, before)
    assert RandomErasing(0.0)(sample, rng) is sample
    for options in ({}, {'fill_std': (10, 20, 30)}):
        noise = RandomErasing(1.0, mode='rand', **options)(sample, rng).image
        assert len(np.unique(noise[noise != before])) > 20
    with pytest.raises(ValueError, match="mode is 'const' or 'rand'"):
        RandomErasing(mode='noise')
    with pytest.raises(ValueError, match='min_area_ratio <= max_area_ratio'):
        RandomErasing(min_area_ratio=0.5)
