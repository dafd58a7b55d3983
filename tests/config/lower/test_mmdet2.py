"""Detectors of mmdetection 2: recorded models with the sections of its base files for COCO."""

import pytest

from hrdet.config import load_config, lower
from hrdet.registry import ConfigError
from tests.config.mmdet2 import whole
from tests.config.published import (
    CONFIGS,
    MMDET_3,
    differences,
    meaning,
    model_meaning,
    record_of,
)


@pytest.mark.parametrize('name', MMDET_3)
def test_a_recorded_model_is_the_shipped_one(reference_dir, name):
    run = lower(whole(record_of(reference_dir, 'mmdet3', name), name)).check()
    assert run.warnings == []
    shipped = lower(load_config(CONFIGS / f'hrnet/continuous/{name}.py'))
    assert not differences(model_meaning(shipped), model_meaning(run))
    found = differences(meaning(shipped), meaning(run))
    assert set(found) <= {'trackers'}, found


@pytest.fixture
def config(reference_dir) -> dict:
    name = 'mask-rcnn_hrnetv2p-w18-1x_coco'
    return whole(record_of(reference_dir, 'mmdet3', name), name)


def step(config: dict, kind: str) -> dict:
    (found,) = [s for s in config['data']['train']['pipeline'] if s['type'] == kind]
    return found


def test_earlier_and_later_keys(config):
    expected = lower(config)
    step(config, 'Resize').update(backend='cv2', bbox_clip_border=True, override=False)
    step(config, 'RandomFlip')['direction'] = 'horizontal'
    step(config, 'LoadImageFromFile')['file_client_args'] = dict(backend='disk')
    step(config, 'DefaultFormatBundle').update(img_to_float=True)
    config['data']['train']['filter_empty_gt'] = True
    for name in ('train_cfg', 'test_cfg'):
        config[name] = config['model'].pop(name)
    assert lower(config).model == expected.model
    assert lower(config).train['dataset']['transforms'] == expected.train['dataset']['transforms']


def test_images_without_objects(config):
    config['data']['train']['filter_empty_gt'] = False
    assert lower(config).check().train['dataset']['filter_empty'] is False


def test_repeated_data_sets(config):
    inner = config['data']['train']
    config['data']['train'] = dict(type='RepeatDataset', times=3, dataset=[inner, inner])
    dataset = lower(config).check().train['dataset']
    assert (dataset['type'], dataset['times']) == ('RepeatDataset', 3)
    assert [part['type'] for part in dataset['dataset']['datasets']] == ['CocoDataset'] * 2


def test_views_of_a_test(config):
    config['data']['test']['pipeline'][1] |= dict(img_scale=[(640, 480), (320, 240)], flip=True)
    (views,) = lower(config).check().test['dataset']['transforms']
    assert len(views['views']) == 4


def test_what_is_measured(config):
    del config['evaluation']['metric']
    assert lower(config).test['evaluator']['metrics'] == ['bbox', 'segm']
    config['evaluation'] |= dict(metric='bbox', classwise=True)
    assert lower(config).test['evaluator']['metrics'] == ['bbox']


@pytest.mark.parametrize(
    ('kind', 'change', 'message'),
    [
        ('Resize', dict(ratio_range=(0.5, 2)), r'data\.train\.pipeline\[2\]\.ratio_range: '),
        ('Resize', dict(backend='pillow'), "'pillow' is not one of 'cv2'"),
        ('RandomFlip', dict(direction='vertical'), "'vertical' is not one of 'horizontal'"),
        ('RandomFlip', dict(prob=0.5), r'pipeline\[3\]\.prob: .*flip_ratio'),
        ('Pad', dict(pad_val=114), r'pipeline\[5\]\.pad_val: 0, the mean colour'),
        ('RandomFlip', dict(type='Mosaic'), r'data\.train\.pipeline\[3\]\.type: hrdet has no step'),
        ('LoadAnnotations', dict(with_mask=False), 'with_mask is False'),
        ('Collect', dict(keys=None), r'pipeline\[\d\]\.keys: None is not a list'),
    ],
)
def test_mistakes_in_a_pipeline(config, kind, change, message):
    step(config, kind).update(change)
    with pytest.raises(ConfigError, match=message):
        lower(config).check()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(type='RetinaNet'), r"model\.type: there is no model 'RetinaNet'.*FasterRCNN"),
        (dict(train_cfg='x'), r"model\.train_cfg: must be a dict, not 'x'"),
        (dict(test_cfg=[]), r'model\.test_cfg: must be a dict, not \[\]'),
        (dict(bbox_head={}), r'model\.bbox_head: a key of the 2019 language.*model\.roi_head'),
    ],
)
def test_mistakes_in_a_model(config, change, message):
    config['model'] |= change
    with pytest.raises(ConfigError, match=message):
        lower(config)


def test_another_data_set(config):
    config['data']['train']['type'] = 'LVISV1Dataset'
    with pytest.raises(ConfigError, match=r"data\.train\.type: hrdet has no data set 'LVISV1Data"):
        lower(config)
