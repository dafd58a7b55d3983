"""tools/check_dataset.py on label maps and on class folders."""

import cv2
import numpy as np
import pytest


@pytest.fixture
def check(run, label_folders):
    """Runs the tool on the label maps."""

    def call(*options, classes='road,car,sky'):
        folders = (label_folders / 'img', label_folders / 'map')
        return run(*folders, '--classes', classes, *options)

    return call


def test_values_shares_and_sizes(check, label_folders):
    maps = [cv2.imread(str(path), -1) for path in sorted((label_folders / 'map').iterdir())]
    pixels = np.bincount(np.stack(maps).ravel(), minlength=256)
    shares = pixels[:3] / pixels[:3].sum()
    status, text = check()
    assert status == 0
    assert '4 images; all 16 x 12 pixels; values 0, 1, 2, 255; by class: ' in text
    by_class = ', '.join(f'{n} {s:.2%}' for n, s in zip(('road', 'car', 'sky'), shares))
    assert f'{by_class}; {pixels[255] / pixels.sum():.2%} of all ignored' in text
    assert text.endswith('img: 0 errors, 0 warnings\n')


def test_a_picture_of_the_labels(check, tmp_path):
    status, text = check('--labels', tmp_path / 'drawn.png')
    assert status == 0
    assert text.endswith(f'picture of the labels: {tmp_path}/drawn.png\n')
    assert cv2.imread(str(tmp_path / 'drawn.png')) is not None


def test_every_map_with_a_foreign_label_is_named(check, label_folders):
    status, text = check(classes='road,car')
    assert status == 1
    assert text.count('error: ') == 4
    for i in range(4):
        assert f'error: label 2 in {label_folders}/map/{i}.png (' in text
    assert 'but 2 classes end at 1' in text
    assert check('--ignore-index', 2, classes='road,car')[0] == 0


def test_a_config_with_views_for_test_time_augmentation(run, label_folders, tmp_path, pytestconfig):
    """Its data sets are those of the splits: one here."""
    base = pytestconfig.rootpath / 'configs/camvid/fcn_hr18s_camvid.py'
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{base}'\n"
        f"_d = dict(type='BaseSegDataset', classes=('road', 'car'), data_root='{label_folders}',\n"
        f"          img_dir='img', ann_dir='map')\n"
        f'data = dict(train=_d, val=_d, test=_d)\n'
    )
    status, text = run('--config', config)
    assert status == 1
    assert text.count('error: label 2 in ') == 4
    assert text.count('img: 4 errors, 0 warnings') == 1


def test_classes_that_never_occur(check, label_folders):
    for i in range(4):
        cv2.imwrite(str(label_folders / f'map/{i}.png'), np.eye(12, 16, dtype=np.uint8) * 255)
    status, text = check()
    assert status == 0
    assert "hold 0 and 255 only: 255 is ignored, and your second class 'car' is empty" in text
    for i in range(4):
        cv2.imwrite(str(label_folders / f'map/{i}.png'), np.eye(12, 16, dtype=np.uint8) * 2)
    status, text = check('--reduce-zero-label')
    assert 'warning' in text
    assert '2 classes without a pixel: road, sky' in text
    assert 'values 0, 2; by class: road 0.00%, car 100.00%' in text


def test_maps_of_ignored_pixels(check, label_folders):
    """One of them teaches nothing; all of them are no data set."""
    for i in range(4):
        ignored = np.full((12, 16), 255, np.uint8)
        cv2.imwrite(str(label_folders / f'map/{i}.png'), ignored)
        status, text = check()
        warned = f'{i + 1} of 4 label maps have no pixel of a class, such as {label_folders}/map/0'
        assert (status, warned in text) == ((0, True) if i < 3 else (1, False))
    assert f'error: {label_folders}/map: no pixel has a class: the label maps hold 255. ' in text
    assert 'Write the number of its class into each pixel, 0 to 2, or name another ann_dir' in text


def test_sizes_that_differ_and_files_that_are_broken(check, label_folders):
    cv2.imwrite(str(label_folders / 'map/0.png'), np.zeros((11, 16), np.uint8))
    (label_folders / 'map/1.png').write_bytes(b'broken')
    (label_folders / 'img/2.jpg').write_bytes(b'broken')
    cv2.imwrite(str(label_folders / 'map/3.png'), np.zeros((12, 16, 3), np.uint8))
    status, text = check()
    assert status == 1
    assert f'{label_folders}/map/0.png: the label map is 16 x 11 pixels' in text
    assert f'{label_folders}/map/1.png: not an image; a label map is a PNG file' in text
    assert f'{label_folders}/img/2.jpg: not an image' in text
    assert f'{label_folders}/map/3.png: a label map has one number a pixel' in text
    assert '4 errors' in text


def test_partners(check, label_folders):
    (label_folders / 'map/0.png').unlink()
    status, text = check()
    assert status == 1
    assert '1 x no label map' in text
    assert '1 error' in text


def test_known_data_sets(run, data_dir):
    root = data_dir / 'camvid'
    status, text = run(root / 'images/val', root / 'labels/val', '--classes', 'camvid')
    assert status == 0
    assert '51 images; all 480 x 360 pixels; values 0, 1, 2, 3' in text


def test_class_folders(run, class_folders):
    status, text = run(class_folders / 'train')
    assert status == 0
    assert '6 images; by class: ant 3, bee 2, cat 1; 3 sizes, 30 to 30 pixels wide' in text
    path = class_folders / 'train/bee/0.jpg'
    path.write_bytes(path.read_bytes()[:-20])
    status, text = run(class_folders / 'train')
    assert status == 1
    assert f'error: {path}: the JPEG is cut off' in text
    assert run(class_folders / 'train', '--no-images')[0] == 0
    (class_folders / 'train/dog').mkdir()
    status, text = run(class_folders / 'train')
    assert status == 1
    assert '1 class folder without an image (dog)' in text


def test_command_lines_that_lack_something(run, label_folders):
    status, text = run(label_folders / 'img', label_folders / 'map')
    assert status == 2
    assert 'label maps need --classes' in text
    status, text = run(label_folders / 'img', label_folders / 'map', '--classes', 'pascal_voc')
    assert status == 1
    assert 'no known data set of this name (cityscapes, ade20k, voc12,' in text
    status, text = run(label_folders / 'img', label_folders / 'maps', '--classes', 'a,b')
    assert status == 1
    assert 'ann_dir: there is no folder' in text
