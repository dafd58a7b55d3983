"""Names, colours and folders of the known segmentation data sets against mmsegmentation's."""

import json

import cv2
import numpy as np
import pytest

from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES


@pytest.fixture(scope='module')
def tasks(reference_dir):
    return lambda name: json.loads((reference_dir / f'manifests/tasks/{name}.json').read_text())


def test_classes_and_palettes(tasks):
    rows = {k: row for k, row in tasks('seg_datasets').items() if not k.startswith('_')}
    assert len(rows) == 9
    for name, row in rows.items():
        source, defaults = SEGMENTATION_SOURCES[name], row['defaults']
        assert source.type == row['type']
        assert list(source.classes) == row['classes']
        assert [list(colour) for colour in source.palette] == row['palette']
        assert source.img_suffix == defaults['img_suffix']
        assert source.seg_map_suffix == defaults['seg_map_suffix']
        assert source.reduce_zero_label == defaults.get('reduce_zero_label', False)
        assert source.ignore_index == defaults.get('ignore_index', 255)


def datasets(node):
    """The data sets of recorded configs: type, root, images, labels, list."""
    if isinstance(node, dict):
        if 'data_prefix' in node:
            prefix = node['data_prefix']
            yield node, prefix['img_path'], prefix['seg_map_path'], node.get('ann_file', '')
        elif 'img_dir' in node:
            maps, lists = node['ann_dir'], node.get('split') or ''
            for pair in zip(maps, lists) if isinstance(maps, list) else [(maps, lists)]:
                yield node, node['img_dir'], *pair
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from datasets(child)


@pytest.mark.parametrize('release', ['mmseg0_configs', 'mmseg1_configs'])
def test_folders_are_those_of_all_configs(tasks, release):
    used = {
        (node['type'], node['data_root'].rstrip('/'), images, maps, str(names or ''))
        for node, images, maps, names in datasets(tasks(release))
    }
    here = {
        (source.type, source.root, folders.img_dir, folders.ann_dir, folders.split)
        for source in SEGMENTATION_SOURCES.values()
        for parts in source.splits.values()
        for folders in parts
        if source.type != 'CamVidDataset'
    }
    assert used == here


def test_every_class_has_a_colour():
    for name, source in SEGMENTATION_SOURCES.items():
        assert len(source.classes) == len(set(source.classes)) == len(source.palette), name
        assert set(source.splits) == {'train', 'val'}


def test_camvid_is_laid_out_as_its_row_says(data_dir):
    source = SEGMENTATION_SOURCES['camvid']
    found = set()
    for part, count in (('train', 123), ('val', 51)):
        (folders,) = source.splits[part]
        images = sorted((data_dir / 'camvid' / folders.img_dir).glob(f'*{source.img_suffix}'))
        assert len(images) == count
        for image in images[:: count // 10]:
            name = image.name.removesuffix(source.img_suffix) + source.seg_map_suffix
            path = data_dir / 'camvid' / folders.ann_dir / name
            label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert label.dtype == np.uint8
            assert label.ndim == 2
            found |= set(np.unique(label).tolist())
    assert found == set(range(len(source.classes))) | {source.ignore_index}
