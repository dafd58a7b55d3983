"""Resizing and cropping against what mmpretrain gave for two COCO images."""

import numpy as np
import pytest

from hrdet.data.transforms.antialias import resize_antialiased
from hrdet.data.transforms.crops import centre_crop_box, random_resized_crop_box
from hrdet.data.transforms.sizes import short_edge_size

IMAGES = ['000000520707', '000000349184']
MEAN, STD = (np.float32(v) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))


def cut(image, box):
    y, x, h, w = box
    return image[y : y + h, x : x + w]


@pytest.mark.parametrize('number', [0, 1])
def test_resize_and_centre_crop_to_the_last_bit(golden_cls, photo, number):
    image = photo(IMAGES[number])
    resized = resize_antialiased(image, short_edge_size(image.shape[:2], 256))
    np.testing.assert_array_equal(resized, golden_cls.image(f'img{number}_resized_bgr_png'))
    crop = cut(resized, centre_crop_box(resized.shape[:2], (224, 224)))
    np.testing.assert_array_equal(crop, golden_cls.image(f'img{number}_crop_bgr_png'))

    pixels = ((crop[..., ::-1] - MEAN) / STD).transpose(2, 0, 1)
    sample = golden_cls[f'img{number}_input_sample']
    np.testing.assert_allclose(pixels[:, ::9, ::11], sample, atol=1e-6)
    assert pixels.mean() == pytest.approx(float(golden_cls[f'img{number}_input_mean']), abs=1e-5)


def test_sizes_and_centres(golden_cls):
    names = [name for name in golden_cls.names if name.startswith('edge_')]
    assert len(names) == 6
    for name in names:
        h, w = map(int, name.removeprefix('edge_').split('x'))
        size = short_edge_size((h, w), 256)
        y, x, *crop = centre_crop_box(size, (224, 224))
        assert [*size, y, x] == golden_cls[name].tolist()
        assert crop == [224, 224]


@pytest.mark.parametrize('seed', range(6))
def test_random_resized_crop_box(golden_cls, photo, legacy_stream, seed):
    rng = legacy_stream(seed)
    box = random_resized_crop_box(photo(IMAGES[0]).shape[:2], rng)
    assert list(box) == golden_cls[f'rrc_seed{seed}_y_x_h_w'].tolist()
    assert rng.random() == golden_cls[f'rrc_seed{seed}_next'], 'as many numbers are drawn'


@pytest.mark.parametrize('seed', [0, 1])
def test_random_resized_crop_and_flip(golden_cls, photo, legacy_stream, seed):
    rng, image = legacy_stream(seed), photo(IMAGES[0])
    box = random_resized_crop_box(image.shape[:2], rng)
    image = resize_antialiased(cut(image, box), (224, 224))
    flipped = rng.random() < 0.5
    assert flipped == golden_cls[f'rrcflip_seed{seed}_flip']
    image = image[:, ::-1] if flipped else image
    np.testing.assert_array_equal(image, golden_cls.image(f'rrcflip_seed{seed}_bgr_png'))


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((40, 1000), (0, 473, 40, 53)),  # 4/3 wide: 53.3, then (1000 - 53) // 2
        ((1000, 40), (473, 0, 53, 40)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_where_no_box_fits_it_is_the_centre(size, expected):
    rng = np.random.default_rng(0)
    assert random_resized_crop_box(size, rng, area_range=(4, 4)) == expected


def test_centre_crop_of_a_smaller_image_is_the_image():
    assert centre_crop_box((100, 300), (224, 224)) == (0, 38, 100, 224)


def test_unknown_interpolation():
    with pytest.raises(ValueError, match=r"interpolation is one of .*bicubic.*, not 'area'"):
        resize_antialiased(np.zeros((4, 4, 3), np.uint8), (2, 2), 'area')
