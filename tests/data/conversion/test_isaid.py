import numpy as np
import pytest

from hrdet.boxes.windows import sliding_windows
from hrdet.data import DataError
from hrdet.data.conversion import convert
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES

COLOURS = np.array(SEGMENTATION_SOURCES['isaid'].palette, np.uint8)


def painted(labels):
    return np.ascontiguousarray(COLOURS[labels][..., ::-1])


@pytest.fixture
def scenes(download, photo):
    """A large and a small training image, one for validation, one for the test."""
    rng, scenes = np.random.default_rng(0), {}
    for part, name, size in (
        ('train', 'P0000', (900, 1500)),
        ('train', 'P0001', (300, 1000)),
        ('val', 'P0003', (896, 896)),
    ):
        scenes[name] = photo(*size), rng.integers(0, 16, size)
        download.write(f'{part}/images/images/{name}.png', scenes[name][0])
        masks = f'{part}/Semantic_masks/images/{name}_instance_color_RGB.png'
        download.write(masks, painted(scenes[name][1]))
        download.write(f'{part}/Instance_masks/images/{name}_instance_id_RGB.png', b'not read')
    download.write('test/images/images/P0006.png', photo(50, 60))
    return scenes


@pytest.mark.parametrize('packed', [False, True])
def test_patches(download, scenes, packed):
    if packed:
        for part in ('train', 'val'):
            download.pack(f'{part}/images/part1.zip', f'{part}/images/images')
            download.pack(f'{part}/Semantic_masks/images.zip', f'{part}/Semantic_masks/images')
    summary = convert('isaid', download.raw, download.out, processes=1)
    assert summary == f'patches of 2 training and 1 validation images in {download.out}'
    # y1, y2, x1, x2: a step of 512, the last patch pushed back inside; small images are padded.
    places = {
        'train/P0000': [(y, y + 896, x, x + 896) for y in (0, 4) for x in (0, 512, 604)],
        'train/P0001': [(0, 896, 0, 896), (0, 896, 104, 1000)],
        'val/P0003': [(0, 896, 0, 896)],
    }
    stems = {
        f'{name}_{"_".join(map(str, place))}': (name[-5:], place)
        for name, patches in places.items()
        for place in patches
    }
    assert download.made() == sorted(
        [f'img_dir/{stem}.png' for stem in stems]
        + [f'ann_dir/{stem}_instance_color_RGB.png' for stem in stems]
        + ['img_dir/test/P0006.png']
    )
    for stem, (name, (y1, y2, x1, x2)) in stems.items():
        image, labels = scenes[name]
        h, w = labels[y1:y2, x1:x2].shape
        pixels = download.read(f'img_dir/{stem}.png')
        np.testing.assert_array_equal(pixels[:h, :w], image[y1:y2, x1:x2])
        assert not pixels[h:].any()
        values = download.read(f'ann_dir/{stem}_instance_color_RGB.png')
        assert values.shape == (896, 896)
        np.testing.assert_array_equal(values[:h, :w], labels[y1:y2, x1:x2])
        assert (values[h:] == 255).all()


@pytest.mark.parametrize('size', [(896, 896), (900, 4000), (1408, 1409), (2000, 3200)])
def test_patches_are_those_of_the_release(size):
    """It takes a patch at every multiple of 512 inside the image, and overwrites equal ones."""
    places = set()
    for x in range(0, size[1], 512):
        for y in range(0, size[0], 512):
            x1, y1 = min(x, size[1] - 896), min(y, size[0] - 896)
            places.add((y1, y1 + 896, x1, x1 + 896))
    found = sliding_windows(size, (896, 896), (512, 512))
    assert set(found) == places
    assert len(found) == len(places)


def test_an_image_without_labels(download, scenes):
    (download.raw / 'val/Semantic_masks/images/P0003_instance_color_RGB.png').unlink()
    with pytest.raises(DataError, match=r'val/images/images/P0003\.png has no P0003_instance_col'):
        convert('isaid', download.raw, download.out)


def test_a_part_that_is_missing(download, photo):
    with pytest.raises(DataError, match=r'raw has no train/images/P\*\.png'):
        convert('isaid', download.raw, download.out)
