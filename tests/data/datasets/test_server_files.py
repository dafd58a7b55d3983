"""Files for evaluation servers: the values and names that they take."""

import json

import cv2
import numpy as np
import pytest

from hrdet.data import DataError, LabelMapDataset
from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.segmentation_sets import (
    ADE20KDataset,
    CamVidDataset,
    CityscapesDataset,
    LoveDADataset,
)
from hrdet.structures import ImageMeta, LabelMap


def images(folder, name):
    path = folder / 'images' / name
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.zeros((2, 3, 3), np.uint8))
    return str(folder / 'images')


def written(dataset, folder, labels):
    """What is in the only file of the folder, and its name."""
    writer = dataset.server_files(str(folder / 'out'))
    path = f'{dataset.source}/{dataset.image_ids[0]}'
    writer.update(ImageMeta(path, 1, (2, 3), (2, 3), (2, 3)), LabelMap(labels))
    (file,) = (folder / 'out').iterdir()
    return file.name, cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


def test_cityscapes_takes_label_ids(tmp_path, reference_dir):
    tables = json.loads((reference_dir / 'manifests/tasks/seg_datasets.json').read_text())
    train_ids = {int(k): v for k, v in tables['_cityscapes_label_ids'].items()}
    name = 'bonn/bonn_000000_000019_leftImg8bit.png'
    dataset = CityscapesDataset(img_dir=images(tmp_path, name))
    labels = np.arange(19, dtype=np.uint8)[None]
    file, ids = written(dataset, tmp_path, labels)
    assert file == 'bonn_000000_000019_leftImg8bit.png'
    assert [train_ids[i] for i in ids[0].tolist()] == labels[0].tolist()


@pytest.mark.parametrize(('kind', 'name', 'first'), [
    (ADE20KDataset, 'ADE_val_00000001.jpg', 1), (LoveDADataset, '4191.png', 0)
])  # fmt: skip
def test_ade20k_counts_from_one_and_loveda_from_zero(tmp_path, kind, name, first):
    dataset = kind(img_dir=images(tmp_path, name))
    labels = np.arange(len(dataset.classes), dtype=np.uint8)[None]
    file, values = written(dataset, tmp_path, labels)
    assert file == name.replace('.jpg', '.png')
    assert values[0].tolist() == [label + first for label in range(len(dataset.classes))]


def test_a_part_of_the_classes_keeps_the_values_of_the_files(tmp_path):
    dataset = ADE20KDataset(img_dir=images(tmp_path, 'a.jpg'), classes=('sky', 'wall'))
    assert written(dataset, tmp_path, np.array([[0, 1]], np.uint8))[1].tolist() == [[3, 1]]


def test_other_data_sets_say_which_have_a_server(tmp_path):
    path = images(tmp_path, 'a.jpg')
    known = 'only for CityscapesDataset, ADE20KDataset, LoveDADataset'
    for dataset in (
        CamVidDataset(img_dir=path),
        LabelMapDataset(img_dir=path, classes=('a',)),
        ImageDataset(),
    ):
        with pytest.raises(DataError, match=f'{type(dataset).__name__}, {known}'):
            dataset.server_files(str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()
