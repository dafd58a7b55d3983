"""Detectors of mmdetection 2: recorded models with the sections of its base files for COCO."""

import copy
import re

import pytest

from hrdet.config import load_config, lower
from hrdet.registry import ConfigError
from tests.config.published import (
    CONFIGS,
    MMDET_3,
    differences,
    meaning,
    model_meaning,
    record_of,
)

EPOCHS = {'1x': (12, [8, 11]), '2x': (24, [16, 22]), '20e': (20, [16, 19]), '28e': (28, [24, 27])}
LOAD = dict(type='LoadImageFromFile')
PAD = dict(type='Pad', size_divisor=32)


def data_section(norm: dict, masks: bool, maps: bool, multi_scale: bool, samples: int) -> dict:
    """mmdetection 2's ``_base_/datasets/coco_{detection,instance,instance_semantic}.py``."""
    scale = [(1333, 640), (1333, 800)] if multi_scale else (1333, 800)
    mode = dict(multiscale_mode='value') if multi_scale else {}
    keys = ['img', 'gt_bboxes', 'gt_labels', 'gt_bboxes_ignore']
    train_pipeline = [
        LOAD,
        dict(type='LoadAnnotations', with_bbox=True, with_mask=masks, with_seg=maps),
        dict(type='Resize', img_scale=scale, keep_ratio=True, **mode),
        dict(type='RandomFlip', flip_ratio=0.5),
        norm,
        PAD,
        *([dict(type='SegRescale', scale_factor=1 / 8)] if maps else []),
        dict(type='DefaultFormatBundle'),
        dict(type='Collect', keys=keys + ['gt_masks'] * masks + ['gt_semantic_seg'] * maps),
    ]
    views = [
        dict(type='Resize', keep_ratio=True),
        dict(type='RandomFlip'),
        norm,
        PAD,
        dict(type='ImageToTensor', keys=['img']),
        dict(type='Collect', keys=['img']),
    ]
    augmentation = dict(
        type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False, transforms=views
    )
    test = dict(
        type='CocoDataset',
        ann_file='data/coco/annotations/instances_val2017.json',
        img_prefix='data/coco/val2017/',
        pipeline=[LOAD, augmentation],
    )
    train = test | dict(
        ann_file='data/coco/annotations/instances_train2017.json',
        img_prefix='data/coco/train2017/',
        pipeline=train_pipeline,
    )
    if maps:
        train['seg_prefix'] = 'data/coco/stuffthingmaps/train2017/'
    return dict(samples_per_gpu=samples, workers_per_gpu=2, train=train, val=test, test=test)


def whole(record: dict, name: str) -> dict:
    """A whole config around a recorded model, whose keys mmdetection 2 and 3 share."""
    maps, fcos = name.startswith('htc'), name.startswith('fcos')
    masks = maps or 'mask' in name
    model = dict(record['model'])
    images = model.pop('data_preprocessor')
    norm = dict(
        type='Normalize', mean=images['mean'], std=images['std'], to_rgb=images['bgr_to_rgb']
    )
    epochs, steps = EPOCHS[re.search(r'(1x|2x|20e|28e)', name)[0]]
    warmup = dict(warmup='linear', warmup_ratio=0.001)
    optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
    clip = None
    if fcos:
        options = dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
        optimizer |= dict(lr=0.01, paramwise_cfg=options)
        clip = dict(max_norm=35, norm_type=2)
        warmup = dict(warmup='constant', warmup_ratio=1 / 3) if epochs == 12 else warmup
    config = dict(
        model=model,
        data=data_section(norm, masks, maps, 'ms-640-800' in name, 4 if fcos else 2),
        evaluation=dict(interval=1, metric=['bbox', 'segm'] if masks else 'bbox'),
        optimizer=optimizer,
        optimizer_config=dict(grad_clip=clip),
        lr_config=dict(policy='step', warmup_iters=500, step=steps, **warmup),
        runner=dict(type='EpochBasedRunner', max_epochs=epochs),
        checkpoint_config=dict(interval=1),
        log_config=dict(interval=50, hooks=[dict(type='TextLoggerHook')]),
        custom_hooks=[dict(type='NumClassCheckHook')],
        dist_params=dict(backend='nccl'),
        log_level='INFO',
        load_from=None,
        resume_from=None,
        workflow=[('train', 1)],
        opencv_num_threads=0,
        mp_start_method='fork',
        auto_scale_lr=dict(enable=True, base_batch_size=16),
    )
    return copy.deepcopy(config)


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
