"""Potsdam and Vaihingen: colours to labels, and tiles."""

import numpy as np
import pytest

from hrdet.boxes.windows import sliding_windows
from hrdet.data import DataError
from hrdet.data.conversion import convert
from hrdet.data.conversion.isprs import _POTSDAM, _VAIHINGEN
from hrdet.data.conversion.tiles import labels_of_colours

# RGB of labels 0 to 6, from the contest's page: black is the boundary, the last one is unknown.
COLOURS = np.array(
    [
        (0, 0, 0),
        (255, 255, 255),  # impervious surfaces
        (0, 0, 255),  # building
        (0, 255, 255),  # low vegetation
        (0, 255, 0),  # tree
        (255, 255, 0),  # car
        (255, 0, 0),  # clutter
        (252, 255, 0),
    ],
    np.uint8,
)
# Width and height of the areas of Vaihingen.
VAIHINGEN = {
    1: (1919, 2569), 2: (2428, 2767), 3: (2006, 3007), 4: (1887, 2557), 5: (1887, 2557),
    6: (1887, 2557), 7: (1887, 2557), 8: (1887, 2557), 10: (1887, 2557), 11: (1893, 2566),
    12: (1922, 2575), 13: (2818, 2558), 14: (1919, 2565), 15: (1919, 2565), 16: (1919, 2565),
    17: (2336, 1281), 20: (1866, 2315), 21: (1903, 2546), 22: (1903, 2546), 23: (1903, 2546),
    24: (1903, 2546), 26: (2995, 1783), 27: (1917, 3313), 28: (1917, 2567), 29: (1917, 2563),
    30: (1934, 2563), 31: (1980, 2555), 32: (1980, 2555), 33: (1581, 2555), 34: (1388, 2555),
    35: (2805, 1884), 37: (1996, 1995), 38: (3816, 2550),
}  # fmt: skip


def tiles(width, height):
    return len(sliding_windows((height, width), (512, 512), (512, 512)))


def test_counts_of_the_whole_data_sets():
    """The numbers of tiles that mmsegmentation's documentation gives."""
    assert tiles(6000, 6000) == 12 * 12
    assert len(_POTSDAM) * tiles(6000, 6000) == 3456
    assert (38 - len(_POTSDAM)) * tiles(6000, 6000) == 2016
    counts = {f'area{n}': tiles(*size) for n, size in VAIHINGEN.items()}
    training = sum(counts[area] for area in _VAIHINGEN)
    assert (training, sum(counts.values()) - training) == (344, 398)


def scene(height, width, seed=0):
    """Labels (h, w) with 7 for the unknown colour, and their picture, BGR."""
    labels = np.random.default_rng(seed).integers(0, 8, (height, width))
    return labels, np.ascontiguousarray(COLOURS[labels][..., ::-1])


@pytest.mark.parametrize('packed', [False, True])
def test_potsdam(download, photo, packed):
    image = photo(600, 1100)
    labels, painted = scene(600, 1100)
    for area in ('2_10', '2_13'):
        download.write(f'2_Ortho_RGB/top_potsdam_{area}_RGB.tif', image)
        download.write(f'2_Ortho_RGB/top_potsdam_{area}_RGB.tfw', 'not read')
        download.write(f'labels/top_potsdam_{area}_label_noBoundary.tif', painted)
    if packed:
        download.pack('2_Ortho_RGB.zip', '2_Ortho_RGB')
        download.pack('5_Labels_all_noBoundary.zip', 'labels')
    summary = convert('potsdam', download.raw, download.out, processes=1)
    assert summary == f'tiles of 1 training and 1 validation areas in {download.out}'
    # 1100 x 600: three columns and two rows, the last of each pushed back inside.
    corners = [(x, y) for y in (0, 600 - 512) for x in (0, 512, 1100 - 512)]
    names = [f'{x}_{y}_{x + 512}_{y + 512}.png' for x, y in corners]
    parts = {'train': '2_10', 'val': '2_13'}
    assert download.made() == sorted(
        f'{folder}/{part}/{area}_{name}'
        for folder in ('img_dir', 'ann_dir')
        for part, area in parts.items()
        for name in names
    )
    expected = np.where(labels == 7, 0, labels)
    for (x, y), name in zip(corners, names):
        window = slice(y, y + 512), slice(x, x + 512)
        np.testing.assert_array_equal(download.read(f'img_dir/train/2_10_{name}'), image[window])
        np.testing.assert_array_equal(download.read(f'ann_dir/val/2_13_{name}'), expected[window])


def test_vaihingen(download, photo):
    _, painted = scene(520, 512)
    for area in ('area1', 'area2'):
        download.write(f'top/top_mosaic_09cm_{area}.tif', photo(520, 512))
        download.write(f'gts_for_participants/top_mosaic_09cm_{area}.tif', b'not read')
        download.write(f'top_mosaic_09cm_{area}_noBoundary.tif', painted)
    download.write('top_mosaic_09cm_area9_noBoundary.tif', painted)  # it has no image
    convert('vaihingen', download.raw, download.out, processes=1)
    assert download.made() == sorted(
        f'{folder}/{part}_0_{y}_512_{y + 512}.png'
        for folder in ('img_dir', 'ann_dir')
        for part in ('train/area1', 'val/area2')
        for y in (0, 8)
    )


def test_an_image_without_labels(download, photo):
    download.write('top_potsdam_2_10_RGB.tif', photo(600, 600))
    with pytest.raises(DataError, match=r'raw lacks .*5_Labels_all_noBoundary\.zip'):
        convert('potsdam', download.raw, download.out)
    download.write('top_potsdam_2_11_label_noBoundary.tif', scene(600, 600)[1])
    with pytest.raises(DataError, match=r'top_potsdam_2_10_RGB\.tif has no label map'):
        convert('potsdam', download.raw, download.out)


def test_sizes_that_differ(download, photo):
    download.write('top_potsdam_2_10_RGB.tif', photo(600, 700))
    download.write('top_potsdam_2_10_label_noBoundary.tif', scene(600, 600)[1])
    with pytest.raises(DataError, match=r'RGB\.tif and .*differ in size: 700 x 600 and 600 x 600'):
        convert('potsdam', download.raw, download.out, processes=1)


def test_a_cut_off_file(download, photo):
    path = download.write('top_potsdam_2_10_RGB.tif', photo(600, 600))
    path.write_bytes(path.read_bytes()[:100])
    download.write('top_potsdam_2_10_label_noBoundary.tif', scene(600, 600)[1])
    with pytest.raises(DataError, match=r'^.*top_potsdam_2_10_RGB\.tif: not an image OpenCV can'):
        convert('potsdam', download.raw, download.out, processes=1)
    assert download.made() == []


def test_colours_against_a_loop():
    rng = np.random.default_rng(0)
    palette = [tuple(map(int, colour)) for colour in rng.choice([0, 63, 127, 191, 255], (9, 3))]
    labels = {colour: k for k, colour in enumerate(dict.fromkeys(palette), start=1)}
    image = rng.choice([0, 63, 64, 127, 191, 255], (30, 40, 3)).astype(np.uint8)
    expected = [[labels.get(tuple(map(int, bgr[::-1])), 0) for bgr in row] for row in image]
    np.testing.assert_array_equal(labels_of_colours(image, labels), expected)
