"""The known segmentation data sets, in their layouts."""

import json

import cv2
import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.data.datasets.label_maps import LabelMapDataset
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES
from hrdet.registry import build, registered


@pytest.fixture
def layout(tmp_path):
    """``layout(source, folders)`` writes two images, and maps with the first and last value."""

    def write(source, folders):
        for i in range(2):
            for folder, suffix in (
                (folders.img_dir, source.img_suffix),
                (folders.ann_dir, source.seg_map_suffix),
            ):
                path = tmp_path / folder / f'{i}{suffix}'
                path.parent.mkdir(parents=True, exist_ok=True)
                labels = np.zeros((6, 8), np.uint8)
                labels[3:] = len(source.classes) - 1 + source.reduce_zero_label
                labels[5] = source.ignore_index
                cv2.imwrite(str(path), labels)
        if folders.split:
            (tmp_path / folders.split).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folders.split).write_text('1\n')
        return tmp_path

    return write


@pytest.mark.parametrize('name', SEGMENTATION_SOURCES)
def test_each_layout_loads_under_its_name(layout, name):
    source = SEGMENTATION_SOURCES[name]
    for parts in source.splits.values():
        for folders in parts:
            node = dict(
                type=source.type,
                data_root=str(layout(source, folders)),
                img_dir=folders.img_dir,
                ann_dir=folders.ann_dir,
                split=folders.split,
            )
            dataset = build(node)
            assert isinstance(dataset, LabelMapDataset)
            assert dataset.classes == source.classes
            assert dataset.palette == source.palette
            assert len(dataset) == (1 if folders.split else 2)
            labels = dataset[0].truth.labels
            first = 255 if source.reduce_zero_label else 0
            assert labels[:, 0].tolist() == [first] * 3 + [len(source.classes) - 1] * 2 + [255]


def test_all_types_of_recorded_configs(reference_dir):
    for release in ('mmseg0_configs', 'mmseg1_configs'):
        text = (reference_dir / f'manifests/tasks/{release}.json').read_text()
        types = {word for word in text.replace('"', ' ').split() if word.endswith('Dataset')}
        types |= {'PascalContextDataset59'} & set(text.replace('"', ' ').split())
        assert len(types) >= 8
        for name in types:
            assert registered(name)
        assert json.loads(text)


def test_a_part_of_the_classes(layout):
    source = SEGMENTATION_SOURCES['cityscapes']
    root = layout(source, source.splits['val'][0])
    arguments = dict(
        type='CityscapesDataset',
        data_root=str(root),
        img_dir='leftImg8bit/val',
        ann_dir='gtFine/val',
    )
    dataset = build(arguments | {'classes': ('bicycle', 'car')})
    assert dataset.classes == ('bicycle', 'car')
    assert dataset.palette == ((119, 11, 32), (0, 0, 142))
    assert dataset.truth(0).labels[:, 0].tolist() == [255] * 3 + [0] * 2 + [255]
    with pytest.raises(DataError, match="CityscapesDataset has no class 'byke'"):
        registered('CityscapesDataset')(
            str(root), 'leftImg8bit/val', 'gtFine/val', classes=('byke',)
        )


def test_camvid(data_dir):
    dataset = registered('CamVidDataset')(str(data_dir / 'camvid'), 'images/val', 'labels/val')
    assert len(dataset) == 51
    raw = cv2.imread(dataset.map_path(7), cv2.IMREAD_UNCHANGED)
    labels = dataset[7].truth.labels
    assert labels.shape == (360, 480)
    np.testing.assert_array_equal(labels[raw != 11], raw[raw != 11])
    assert set(labels[raw == 11].tolist()) == {255}
