"""Small data sets of the user's own, in a working folder of their own."""

import json

import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _offline_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'weights'))
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')


def write_image(path, size=(60, 100), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def yolo(tmp_path):
    """Writes a YOLO data set; the number of images of each part."""

    def write(names=('cat', 'dog'), size=(60, 100), **splits):
        root = tmp_path / 'beasts'
        for split, count in splits.items():
            for i in range(count):
                write_image(root / 'images' / split / f'{split}{i}.jpg', size, i)
                labels = root / 'labels' / split / f'{split}{i}.txt'
                labels.parent.mkdir(parents=True, exist_ok=True)
                labels.write_text(f'{i % len(names)} 0.5 0.5 0.25 0.5\n')
        lines = [f'{split}: images/{split}' for split in splits]
        (root / 'data.yaml').write_text('\n'.join([*lines, f'names: {json.dumps(list(names))}']))
        return str(root)

    return write


@pytest.fixture
def label_maps(tmp_path):
    """Writes images with label maps of the values 0, 1 and 255."""

    def write(layout='{kind}/{split}', splits=('train', 'val'), count=4):
        root = tmp_path / 'ground'
        for split in splits:
            for i in range(count):
                write_image(root / layout.format(kind='images', split=split) / f'{i}.jpg', seed=i)
                path = root / layout.format(kind='masks', split=split) / f'{i}_mask.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                labels = np.zeros((60, 100), np.uint8)
                labels[:20], labels[40:] = 1, 255
                cv2.imwrite(str(path), labels)
        return root

    return write


@pytest.fixture
def class_folders(tmp_path):
    """Writes a folder of images for each class."""

    def write(splits=('train', 'val'), classes=('ant', 'bee'), count=4):
        root = tmp_path / 'insects'
        for split in splits:
            for name in classes:
                for i in range(count):
                    write_image(root / split / name / f'{i}.jpg', seed=i)
        return root

    return write
