"""Generated scenes as label maps and as class folders."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hrdet.data import ClassFolders, LabelMapDataset
from hrdet.data.shapes import make_class_folders, make_label_maps, make_shapes
from hrdet.data.shapes.scenes import CLASSES, GROUNDS


def test_label_maps_of_the_same_scenes(tmp_path):
    maps = make_label_maps(str(tmp_path / 'maps'), 3, 2, (80, 96), 5)
    coco = make_shapes(str(tmp_path / 'coco'), 3, 2, (80, 96), 5)
    dataset = LabelMapDataset(
        str(tmp_path / 'maps'), 'images/train', 'labels/train', classes=maps.classes
    )
    assert dataset.classes == (*CLASSES, *GROUNDS)
    assert len(dataset) == 3
    for i in range(3):
        sample = dataset[i]
        image = cv2.imread(str(Path(coco.train_images, f'{i + 1:06d}.jpg')))
        np.testing.assert_array_equal(sample.image, image)
        labels = cv2.imread(str(Path(coco.train_maps, f'{i + 1:06d}.png')), -1)
        np.testing.assert_array_equal(sample.truth.labels, labels)
    assert len(LabelMapDataset('', maps.val_images, maps.val_maps, classes=dataset.classes)) == 2


def test_class_folders_hold_windows_around_each_thing(tmp_path):
    train, _ = make_class_folders(str(tmp_path), 12, 3, (96, 128), 0)
    dataset = ClassFolders(train)
    assert dataset.classes == tuple(sorted(CLASSES))
    assert 24 <= len(dataset) <= 72
    for i in range(len(dataset)):
        h, w = dataset[i].image.shape[:2]
        assert min(h, w) >= 10
        assert h <= 96
        assert w <= 128
    again, _ = make_class_folders(str(tmp_path / 'again'), 12, 0, (96, 128), 0)
    for name in dataset.image_ids:
        assert Path(train, name).read_bytes() == Path(again, name).read_bytes()


def test_too_small():
    for make in (make_label_maps, make_class_folders):
        with pytest.raises(ValueError, match='64'):
            make('nowhere', 1, 1, (32, 64))


@pytest.mark.parametrize(
    ('task', 'written'),
    [('segmentation', 'labels/val/000001.png'), ('classification', 'train/star')],
)
def test_the_command(tmp_path, pytestconfig, task, written):
    command = [sys.executable, str(pytestconfig.rootpath / 'tools/make_shapes.py')]
    options = f'--out {tmp_path} --task {task} --train 2 --val 1 --size 64 80'.split()
    done = subprocess.run(command + options, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'{tmp_path}' in done.stdout
    assert (tmp_path / written).exists()
