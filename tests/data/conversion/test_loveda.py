import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.data.conversion import convert


@pytest.fixture
def maps(download, photo):
    """Two rural and one urban image a part; the test images have no labels."""
    rng, maps = np.random.default_rng(0), {}
    for start, part in enumerate(('Train', 'Val', 'Test')):
        for number, area in enumerate(('Rural', 'Rural', 'Urban'), start=10 * start):
            download.write(f'{part}/{area}/images_png/{number}.png', photo(8, 8))
            if part != 'Test':
                maps[number] = rng.integers(0, 8, (8, 8), np.uint8)
                download.write(f'{part}/{area}/masks_png/{number}.png', maps[number])
    return maps


@pytest.mark.parametrize('packed', [False, True])
def test_layout(download, maps, packed):
    if packed:
        for part in ('Train', 'Val', 'Test'):
            download.pack(f'{part}.zip', part)
    summary = convert('loveda', download.raw, download.out, processes=1)
    assert summary == f'images: 3 train, 3 val, 3 test in {download.out}'
    names = {'train': (0, 1, 2), 'val': (10, 11, 12), 'test': (20, 21, 22)}
    images = [f'img_dir/{part}/{n}.png' for part in names for n in names[part]]
    labels = [f'ann_dir/{part}/{n}.png' for part in ('train', 'val') for n in names[part]]
    assert download.made() == sorted(images + labels)
    for number, expected in maps.items():
        part = 'train' if number < 10 else 'val'
        np.testing.assert_array_equal(download.read(f'ann_dir/{part}/{number}.png'), expected)


def test_pairs_without_a_partner(download, maps):
    (download.raw / 'Val/Urban/masks_png/12.png').unlink()
    with pytest.raises(DataError, match=r'Val/Urban/images_png/12\.png has no image or label map'):
        convert('loveda', download.raw, download.out)


def test_two_images_of_one_name(download, maps, photo):
    download.write('Train/Urban/images_png/0.png', photo(8, 8))
    with pytest.raises(
        DataError, match=r'Rural/images_png/0\.png and .*Urban/images_png/0\.png would have one'
    ):
        convert('loveda', download.raw, download.out)


def test_a_part_that_is_missing(download, photo):
    download.write('Train/Rural/images_png/0.png', photo(8, 8))
    download.write('Train/Rural/masks_png/0.png', photo(8, 8))
    with pytest.raises(DataError, match=r'raw has no Val/Rural/images_png/.*; Val\.zip has them'):
        convert('loveda', download.raw, download.out)
