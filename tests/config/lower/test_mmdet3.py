"""Detectors of mmdetection 3 as recorded, with the data sections of its base files for COCO."""

import copy
import re

import pytest

from hrdet.config import load_config, lower
from hrdet.config.lower.original_paths import original_path
from hrdet.registry import ConfigError, register
from tests.config.mmdet3 import SCALES, whole
from tests.config.published import (
    CONFIGS,
    MMDET_3,
    differences,
    meaning,
    model_meaning,
    parameters,
    record_of,
)


@pytest.mark.parametrize('name', MMDET_3)
def test_a_recorded_config_is_the_shipped_one(reference_dir, name):
    """Model, data sets, transforms, evaluation and training, all fields."""
    record = record_of(reference_dir, 'mmdet3', name)
    run = lower(whole(record, name)).check()
    assert run.warnings == []
    assert parameters(run.model) == record['params']
    shipped = lower(load_config(CONFIGS / f'hrnet/continuous/{name}.py'))
    assert not differences(model_meaning(shipped), model_meaning(run))
    # mmengine's warm-up ends an iteration earlier than mmcv's, and its schedulers say where.
    theirs, ours = meaning(run), meaning(shipped)
    for values in (theirs, ours):
        assert values['schedule'][0].pop('end') == (500 if values is theirs else 501)
        values['schedule'][0].pop('end_factor', None)
        values['schedule'][1] = {
            key: v for key, v in values['schedule'][1].items() if key not in ('begin', 'end')
        }
    assert not differences(ours, theirs)


@pytest.fixture
def config(reference_dir) -> dict:
    name = 'cascade-mask-rcnn_hrnetv2p-w18_20e_coco'
    return whole(record_of(reference_dir, 'mmdet3', name), name)


def change(config: dict, path: str, value) -> dict:
    """A config with another value at a path; None removes the key."""
    config = copy.deepcopy(config)
    *sections, key = [int(part) if part.isdigit() else part for part in path.split('.')]
    section = config
    for part in sections:
        section = section[part]
    if value is None:
        del section[key]
    else:
        section[key] = value
    return config


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        ('model.type', 'RetinaNet', 'there is no model .*FasterRCNN'),
        ('model.backbone.type', 'SwinTransformer', 'faster_rcnn_hrnetv2p_w18_1x'),
        ('model.neck.type', 'PAFPN', 'supported: HRFPN, FPN'),
        ('model.rpn_head.type', 'GARPNHead', 'supported: RPNHead'),
        ('model.rpn_head.anchor_generator.scale', [8], "did you mean 'scales'"),
        ('model.rpn_head.anchor_scales', [8], 'there is no such key|2019 language'),
        ('model.rpn_head.bbox_coder.type', 'TBLRBBoxCoder', 'DeltaXYWHBBoxCoder'),
        ('model.roi_head.type', 'PISARoIHead', 'CascadeRCNN has a CascadeRoIHead'),
        ('model.roi_head.interleaved', True, 'accepted: num_stages'),
        ('model.roi_head.num_stages', 2, '3 entries, but num_stages=2'),
        ('model.roi_head.stage_loss_weights', [1], 'a list of 3 numbers'),
        ('model.roi_head.bbox_head.1.type', 'SABLHead', 'supported: Shared2FCBBoxHead'),
        ('model.roi_head.bbox_head.1.target_means', [0.0] * 4, 'no such key|2019 language'),
        ('model.roi_head.bbox_head.1.num_classes', 0, '1 or more'),
        ('model.roi_head.bbox_roi_extractor.roi_layer.aligned', False, 'one of True'),
        ('model.roi_head.mask_head.upsample_cfg', dict(type='carafe'), "'deconv'"),
        ('model.roi_head.test_cfg.score_thr', 0.3, 'keep that one'),
        ('model.train_cfg.rpn.assigner', None, 'this key is required'),
        ('model.train_cfg.rpn_proposal.nms.type', 'soft_nms', "'nms'"),
        ('model.test_cfg.rpn.nms.iou_threshold', 'a', 'number from 0 to 1'),
        ('model.data_preprocessor.pad_size_divisr', 32, "did you mean 'pad_size_divisor'"),
        ('train_dataloader.dataset.type', 'LVISV1Dataset', 'supported: CocoDataset, VOCDataset'),
        ('train_dataloader.dataset.data_prefix.imgs', 'x', "did you mean 'img'"),
        ('train_dataloader.dataset.ann_file', None, 'this key is required'),
        ('train_dataloader.dataset.img_prefix', 'x', 'data_prefix'),
        ('train_dataloader.dataset.pipeline.1.with_mask', False, 'with_mask is False'),
        ('train_dataloader.dataset.pipeline.2.type', 'Mosaic', 'no step .*supported: '),
        ('train_dataloader.dataset.pipeline.2.scale', (1333,), 'a pair'),
        ('train_dataloader.dataset.pipeline.2.img_scale', (1, 1), 'has .*scale'),
        ('val_evaluator.ann_file', 'other.json', 'not the file of the data set'),
        ('val_evaluator.metric', 'mAP', "'bbox', 'segm'"),
        ('val_evaluator.format_only', True, 'one of False'),
        ('model.test_cfg.rpn', 'nonsense', 'is not a dict'),
    ],
)
def test_mistakes(config, path, value, message):
    """Each names its place as this language has it."""
    with pytest.raises(ConfigError, match=message) as caught:
        lower(change(config, path, value)).check()
    sections = [part for part in path.split('.') if not part.isdigit()]
    found = re.sub(r'\[\d+\]', '', str(caught.value).split(':')[0].split(',')[0])
    assert found.startswith('.'.join(sections[:2])), found


def test_the_places_of_nodes(config):
    """Errors at build time name them too."""
    model = lower(config).model
    roi_head = model['roi_head']
    assert roi_head['mask_head'][0].path == 'model.roi_head.mask_head'
    assert roi_head['bbox_head'][1].path == 'model.roi_head.bbox_head[1]'
    assert model['rpn_head']['test_proposals'].path == 'model.test_cfg.rpn'


def test_only_whole_names_are_moved():
    rules = ((r'^test_cfg\b', 'model.test_cfg'),)
    assert original_path('test_cfg.rcnn', rules) == 'model.test_cfg.rcnn'
    assert original_path('model.test_cfg.rcnn', rules) == 'model.test_cfg.rcnn'


def test_several_data_sets(config):
    plain = config['train_dataloader']['dataset']
    config['train_dataloader']['dataset'] = dict(type='ConcatDataset', datasets=[plain, plain])
    dataset = lower(config).check().train['dataset']
    assert dataset['type'] == 'ConcatDataset'
    assert [part['ann_file'] for part in dataset['datasets']] == [
        'data/coco/annotations/instances_train2017.json'
    ] * 2


def test_images_are_left_out_only_where_the_config_says_so(config):
    del config['train_dataloader']['dataset']['filter_cfg']
    dataset = lower(config).train['dataset']
    assert (dataset['filter_empty'], dataset['min_size']) == (False, 0)
    assert 'min_size' not in lower(config).test['dataset']


def test_a_range_of_scales(config):
    config['train_dataloader']['dataset']['pipeline'][2] = dict(
        type='RandomResize', scale=SCALES, keep_ratio=True
    )
    resize = lower(config).check().train['dataset']['transforms'][0]
    assert (resize['scales'], resize['multiscale_mode']) == (SCALES, 'range')


def test_heads_of_the_users_own(config):
    """They count the objects' classes, as the other heads of mmdetection 3 do."""

    @register('OwnBoxHeadOfMmdet3')
    class OwnBoxHead:
        def __init__(self, num_classes: int, width: int) -> None: ...

    own = dict(type='OwnBoxHeadOfMmdet3', num_classes=80, width=3)
    config['model']['roi_head']['bbox_head'][2] = own
    head = lower(config).model['roi_head']['bbox_head'][2]
    assert head == own
    assert head.path == 'model.roi_head.bbox_head[2]'


def test_resnet(config):
    """The backbone of the release's own baseline, as mmdetection 3 writes it."""
    config['model']['backbone'] = dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    )
    config['model']['neck'] = dict(
        type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5
    )
    run = lower(config).check()
    assert run.model['backbone']['depth'] == 50
    assert run.runtime.pretrained == 'torchvision://resnet50'


FLIPS = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]


def test_test_time_augmentation(config):
    """Every scale with every flip, in this order; merged as the model's test says."""
    sizes = [dict(type='Resize', scale=s, keep_ratio=True) for s in ((1333, 800), (666, 400))]
    steps = [
        sizes,
        FLIPS,
        [dict(type='LoadAnnotations', with_bbox=True)],
        [dict(type='PackDetInputs')],
    ]
    config['tta_pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=steps),
    ]
    merging = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
    config['tta_model'] = dict(type='DetTTAModel', tta_cfg=merging)
    run = lower(config).check()
    assert run.use_tta() == '4 views of each image, those of tta_pipeline'
    (views,) = run.check().test['dataset']['transforms']
    assert [view[0]['scales'] for view in views['views']] == [[(1333, 800)]] * 2 + [
        [(666, 400)]
    ] * 2
    kinds = [[step['type'] for step in view] for view in views['views']]
    assert kinds == [['Resize', 'RandomFlip', 'Pad'], ['Resize', 'Pad']] * 2
    config['tta_model']['tta_cfg']['max_per_img'] = 300
    with pytest.raises(ConfigError, match=r'tta_model\.tta_cfg\.max_per_img: views are merged'):
        lower(config)
