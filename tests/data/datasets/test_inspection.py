"""Every image is looked at before training, and not twice."""

import logging
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hrdet.data import (
    ClassFolders,
    ConcatDataset,
    DataError,
    DataWarning,
    LabelMapDataset,
    RepeatDataset,
    check_images,
)
from hrdet.data.datasets import inspection

ROAD = dict(classes=('road', 'car', 'sky'))


def mark(path, orientation):
    """Give a JPEG file an EXIF orientation, and leave its pixels."""
    exif = Image.Exif()
    exif[0x112] = orientation
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, quality=97, exif=exif.tobytes())


def test_a_missing_file_is_found_at_start(coco_folder):
    dataset = coco_folder.load()
    check_images(dataset)
    Path(coco_folder.img_prefix, '2.jpg').unlink()
    with pytest.raises(DataError, match=r'2\.jpg: No such file'):
        check_images(dataset)
    with pytest.raises(DataError, match=r'2\.jpg: No such file'):
        check_images(RepeatDataset(ConcatDataset([dataset]), 3))


@pytest.mark.parametrize('workers', [0, 2])
def test_pixels_that_libjpeg_made_up_are_damage(coco_folder, workers, monkeypatch):
    """The end marker is there, half of the data is not."""
    monkeypatch.setattr(inspection, '_IN_PARALLEL_FROM', 1)
    path = Path(coco_folder.img_prefix, '1.jpg')
    data = path.read_bytes()
    dataset = coco_folder.load()
    path.write_bytes(data[: len(data) // 2] + b'\xff\xd9')
    with pytest.raises(DataError, match=r'1\.jpg: the JPEG is damaged .*premature end'):
        check_images(dataset, workers=workers)
    path.write_bytes(data[:-2] + b'harmless' + data[-2:])  # as many cameras write them
    check_images(dataset, workers=workers)


def test_orientations_are_told(coco_folder, recwarn):
    dataset = coco_folder.load()
    check_images(dataset)
    assert not recwarn.list
    mark(Path(coco_folder.img_prefix, '0.jpg'), 3)
    with pytest.warns(DataWarning, match=r"1 of 3 images have an EXIF .*0\.jpg.*exif='apply'"):
        check_images(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_images(coco_folder.load(exif='apply'))
    with pytest.raises(DataError, match=r'0\.jpg: its EXIF orientation is 3'):
        check_images(coco_folder.load(exif='error'))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_three_ways_to_read_a_marked_image(coco_folder, orientation):
    """Pillow turns as viewers do."""
    path = Path(coco_folder.img_prefix, '2.jpg')
    image = np.zeros((50, 50, 3), np.uint8)
    image[:20, :30] = 255
    cv2.imwrite(str(path), image)
    mark(path, orientation)
    from PIL import ImageOps

    with Image.open(path) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))[..., ::-1]
        stored = np.asarray(picture)[..., ::-1]
    for exif, expected in (('ignore', stored), ('apply', upright)):
        found = coco_folder.load(exif=exif).image(2)
        assert np.abs(found.astype(int) - expected).max() < 30


def test_sizes_that_only_one_way_of_reading_has(coco_folder):
    mark(Path(coco_folder.img_prefix, '0.jpg'), 6)
    coco_folder.content['images'][0].update(width=48, height=64)
    for annotation in coco_folder.content['annotations']:
        annotation['bbox'] = [1, 1, 20, 20]
    with pytest.raises(DataError, match=r"turns it: set exif='apply'"):
        check_images(coco_folder.load())
    check_images(coco_folder.load(exif='apply'))


def test_sizes_of_the_stored_pixels_beside_boxes_of_the_turned_ones(coco_folder):
    mark(Path(coco_folder.img_prefix, '0.jpg'), 6)  # 64 x 48 in the file and in its annotation
    with pytest.raises(DataError, match=r"exchange width and height .* set exif='ignore'"):
        check_images(coco_folder.load(exif='apply'))


def test_label_maps_of_turned_photos_are_told(label_folders):
    dataset = LabelMapDataset(str(label_folders), 'img', 'map', **ROAD)
    check_images(dataset)
    mark(label_folders / 'img/1.jpg', 3)
    with pytest.warns(DataWarning, match='label maps are not'):
        check_images(dataset)


def test_photos_of_classes_are_turned_without_a_word(class_folders):
    mark(class_folders / 'train/ant/0.jpg', 6)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_images(ClassFolders(data_prefix=str(class_folders / 'train')))


def test_deep_images(coco_folder):
    coco_folder.content['images'][0]['file_name'] = '0.png'
    path = str(Path(coco_folder.img_prefix, '0.png'))
    levels = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    cv2.imwrite(path, levels)
    dataset = coco_folder.load()
    with pytest.warns(DataWarning, match=r'1 of 3 images have more than 8 bits.*0\.png'):
        check_images(dataset)
    cv2.imwrite(path, levels >> 4)
    with pytest.raises(DataError, match=r'0\.png: its samples reach 4095, .*nearly black'):
        check_images(dataset)


def test_unchanged_files_are_not_read_again(coco_folder, monkeypatch):
    monkeypatch.setattr(inspection, '_REMEMBERED_FROM', 1)
    mark(Path(coco_folder.img_prefix, '0.jpg'), 3)
    dataset = coco_folder.load()
    read = []
    original = inspection.examine
    monkeypatch.setattr(inspection, 'examine', lambda d, i: read.append(i) or original(d, i))
    for expected in ([0, 1, 2], []):
        with pytest.warns(DataWarning, match='EXIF'):
            check_images(dataset)
        assert read == expected
        read.clear()
    # 1. Another content, and another size in the annotations.
    path = Path(coco_folder.img_prefix, '1.jpg')
    path.write_bytes(path.read_bytes()[:-2] + b'some' + b'\xff\xd9')
    coco_folder.content['images'][2]['width'] = 49
    dataset = coco_folder.load()
    with pytest.raises(DataError, match=r'2\.jpg: the file is 50 x 50'):
        check_images(dataset)
    assert read == [1, 2]
    read.clear()
    # 2. What is wrong is read again until it is mended; other ways of reading are their own.
    with pytest.raises(DataError, match=r'2\.jpg: the file is 50 x 50'):
        check_images(dataset)
    assert read == [2]


def test_values_of_label_maps_are_remembered(label_folders, monkeypatch):
    monkeypatch.setattr(inspection, '_REMEMBERED_FROM', 1)
    dataset = LabelMapDataset(str(label_folders), 'img', 'map', **ROAD)
    first, second = (list(inspection.inspect(dataset)) for _ in range(2))
    assert first == second
    assert first[0].values.keys() == {0, 1, 2, 255}
    cv2.imwrite(str(label_folders / 'map/1.png'), np.full((12, 16), 7, np.uint8))
    with pytest.raises(DataError, match='label 7 in'):
        check_images(dataset)


def test_a_part_is_checked_where_the_rest_is_trusted(coco_folder, monkeypatch):
    read = []
    monkeypatch.setattr(inspection, 'examine', lambda d, i: read.append(i) or inspection.Findings())
    dataset = RepeatDataset(coco_folder.load(), 100)
    dataset.parts()[0].image_ids = list(range(160))
    monkeypatch.setattr(type(dataset.parts()[0]), 'doubts', lambda *a, **k: [])
    check_images(dataset, everything=False)
    assert len(read) == 16
    assert (read[0], read[-1]) == (0, 159)


def test_of_very_many_images_some_are_checked_and_it_is_told(tmp_path, monkeypatch, caplog):
    """ImageNet's 1.28 million would take an hour."""
    monkeypatch.setattr(logging.getLogger('hrdet'), 'propagate', True)
    caplog.set_level(logging.INFO, logger='hrdet')
    for number in range(40):
        path = tmp_path / 'ants' / f'{number}.png'
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    dataset = ClassFolders(data_prefix=str(tmp_path))
    read = []
    examine = inspection.examine
    monkeypatch.setattr(inspection, 'examine', lambda *a: read.append(a) or examine(*a))
    check_images(dataset)
    assert len(read) == 40
    assert not caplog.messages
    monkeypatch.setattr(inspection, '_ALL_UP_TO', 39)
    check_images(dataset)
    assert len(read) == 56
    assert '16 of 40 images checked; hrdet check' in caplog.text


def test_further_frames_are_told(coco_folder):
    coco_folder.content['images'][0]['file_name'] = '0.tif'
    first, second = (Image.new('RGB', (64, 48), colour) for colour in ('red', 'blue'))
    path = Path(coco_folder.img_prefix, '0.tif')
    first.save(path, save_all=True, append_images=[second])
    with pytest.warns(DataWarning, match=r'1 of 3 images have several frames or pages.*0\.tif'):
        check_images(coco_folder.load())
    assert coco_folder.load().image(0)[0, 0].tolist() == [0, 0, 255]


def test_copies_of_an_image_are_told(class_folders):
    """Of one of another class first."""
    train = class_folders / 'train'
    shutil.copy(train / 'ant/0.jpg', train / 'ant/copy.jpg')
    dataset = ClassFolders(data_prefix=str(train))
    with pytest.warns(DataWarning, match=r'1 of 7 images are copies .*ant/copy\.jpg of'):
        check_images(dataset)
    shutil.copy(train / 'ant/1.jpg', train / 'cat/copy.jpg')
    dataset = ClassFolders(data_prefix=str(train))
    with pytest.warns(DataWarning, match=r'1 of 8 images .* of another class, .*cat/copy\.jpg of'):
        check_images(dataset)
