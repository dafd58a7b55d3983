"""What a user is told whose data is not where the config looks for it."""

import pytest

from hrdet.config import load_config, lower
from hrdet.data.errors import missing
from hrdet.registry import ConfigError, build

COCO = 'COCO has it: cocodataset.org/#download'


@pytest.mark.parametrize(
    ('path', 'source'),
    [
        ('data/coco/annotations/instances_val2017.json', COCO),
        ('data/coco/train2017/', COCO),
        ('data/coco/val2017.zip', COCO),
        ('data/coco/stuffthingmaps/train2017/', 'stuffthingmaps_trainval2017.zip'),
        ('data/shapes/annotations/instances_train.json', 'hrdet shapes --out data/shapes'),
        ('data/shapes_maps/classes.txt', 'hrdet shapes --task segmentation'),
        ('data/shapes_folders/train', 'hrdet shapes --task classification'),
        ('data/cityscapes/leftImg8bit/val', 'hrdet convert --help'),
        ('data/ade/ADEChallengeData2016/images/training', 'ADEChallengeData2016.zip'),
        ('mine/harvest2017.json', None),
    ],
)
def test_where_known_data_comes_from(path, source):
    told = str(missing('ann_file', path, 'file'))
    assert told.startswith(f'ann_file: there is no file {path} (looked for in /')
    assert (source or 'by itself. If it lies elsewhere, write that into ann_file') in told
    assert source == COCO or COCO not in told


def test_without_coco(pytestconfig, tmp_path, monkeypatch):
    """The place in the config, the path, where it was looked for, what to do, what to run."""
    monkeypatch.chdir(tmp_path)
    lowered = lower(load_config(pytestconfig.rootpath / 'configs/hrnet/htc_hrnetv2p_w18_20e.py'))
    for key, node in (('train', lowered.train['dataset']), ('test', lowered.test['dataset'])):
        with pytest.raises(ConfigError) as error:
            build(node)
        path = f'data/coco/annotations/instances_{"val" if key == "test" else key}2017.json'
        assert str(error.value).startswith(f'data.{key}, written in ')
        place = f'configs/_base_/datasets/coco{"_stuff" if key == "train" else ""}.py:'
        parts = place, '(CocoDataset): ann_file: ', path, str(tmp_path), COCO, 'hrdet check'
        for part in parts:
            assert part in str(error.value)


def test_an_absolute_path_is_looked_for_nowhere_else(tmp_path):
    told = str(missing('img_prefix', str(tmp_path / 'gone'), 'folder'))
    assert told.startswith(f'img_prefix: there is no folder {tmp_path}/gone. hrdet downloads')
