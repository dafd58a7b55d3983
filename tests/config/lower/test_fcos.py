"""The model sections of FCOS."""

import json

import pytest
import torch

import hrdet.data
import hrdet.evaluation
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import Node, check_num_classes, lower, with_num_classes
from hrdet.models.detectors import FCOS
from hrdet.registry import ConfigError, build


@pytest.fixture
def manifest(reference_dir):
    def read(width):
        file = reference_dir / f'manifests/mmdet1/fcos_hrnetv2p_w{width}_gn_1x_4gpu.json'
        return json.loads(file.read_text())

    return read


@pytest.fixture
def fcos(config):
    """A shipped config with its detector replaced by a short FCOS."""
    config['model'] = dict(
        type='FCOS',
        backbone=dict(type='HRNet', width=18),
        neck=dict(type='HRFPN', stride=2, num_outs=5),
        bbox_head=dict(type='FCOSHead', in_channels=256, strides=[8, 16, 32, 64, 128]),
    )
    config['train_cfg'] = None
    config['test_cfg'] = dict(score_thr=0.05, nms=dict(type='nms', iou_thr=0.6), max_per_img=50)
    return config


@pytest.mark.parametrize('width', [18, 32, 40, 48])
def test_mmdetection_s_configs_build_unchanged(manifest, width):
    record = manifest(width)
    sections = {key: record[key] for key in ('model', 'train_cfg', 'test_cfg')}
    lowered = lower(sections | record['config_other'])
    with torch.device('meta'):
        detector = build(lowered.model)
    assert isinstance(detector, FCOS)
    assert sum(p.numel() for p in detector.parameters()) == record['num_params_total']
    expected = {key.replace('.fcos_', '.conv_'): shape for key, shape in record['state_dict']}
    assert {k: list(v.shape) for k, v in detector.state_dict().items()} == expected
    head = detector.bbox_head
    assert (head.nms_pre, head.score_thr, head.max_per_img) == (1000, 0.05, 100)
    # The caffe-style normalisation of these files, and their learning rate of biases.
    assert detector.preprocess.channel_order == 'bgr'
    assert lowered.model['preprocess']['std'] == (1.0, 1.0, 1.0)
    paramwise = dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
    assert lowered.training.optimizer['paramwise_cfg'] == paramwise
    assert lowered.training.schedule[0]['type'] == 'ConstantLR'
    assert [w for w in lowered.warnings if 'auto_scale_lr' not in w] == []


def test_what_is_left_out_is_mmdetection_s(fcos):
    fcos['model']['box_convention'] = 'continuous'
    model = lower(fcos).model
    head = build(with_num_classes(model, 3)).bbox_head
    assert model['neck']['in_channels'] == [18, 36, 72, 144]
    assert head.regress_ranges == ((-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8))
    assert head.conv_cls.out_channels == 3
    assert (len(head.cls_convs), head.cls_convs[0].gn.num_groups) == (4, 32)
    assert (head.loss_cls.gamma, head.loss_cls.alpha) == (2.0, 0.25)
    assert head.loss_centerness.use_sigmoid
    assert head.convention == 'continuous'
    assert head.center_sample_radius is None
    assert (head.nms_pre, head.min_bbox_size, head.nms.iou_thr) == (-1, 0, 0.6)


def test_arguments_reach_the_head(fcos):
    fcos['model']['bbox_head'] |= dict(
        num_classes=4,
        feat_channels=64,
        stacked_convs=1,
        center_sampling=True,
        norm_cfg=dict(type='GN', num_groups=8),
    )
    head = build(lower(fcos).model).bbox_head
    assert head.num_classes == 3
    assert len(head.reg_convs) == 1
    assert (head.reg_convs[0].gn.num_groups, head.reg_convs[0].gn.num_channels) == (8, 64)
    assert head.center_sample_radius == 1.5


def test_a_head_of_the_user_gets_the_settings_of_the_test(fcos):
    fcos['model']['bbox_head'] = {'type': 'MyHead', 'num_classes': 4, 'mine': 1}
    head = lower(fcos).model['bbox_head']
    assert isinstance(head, Node)
    assert {k: head[k] for k in ('type', 'num_classes', 'mine', 'score_thr')} == {
        'type': 'MyHead',
        'num_classes': 3,
        'mine': 1,
        'score_thr': 0.05,
    }


def test_num_classes_are_checked(fcos):
    fcos['model']['bbox_head']['num_classes'] = 81
    with pytest.raises(
        ConfigError, match=r'model\.bbox_head\.num_classes: the model has 80 classes.* has 2 '
    ):
        check_num_classes(lower(fcos).model, ['cat', 'dog'])


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        ('model.bbox_head.stride', [8], r"model\.bbox_head\.stride: .*'strides'"),
        (
            'model.bbox_head.center_sampling',
            'yes',
            r"sampling: 'yes' is not one of True, False",
        ),
        (
            'model.bbox_head.regress_ranges',
            [1, 2, 3, 4, 5],
            r'must be a list of pairs',
        ),
        (
            'model.bbox_head.regress_ranges',
            [(8, 4)],
            r'must be a list of pairs .*, not \[\(8, 4\)\]',
        ),
        ('model.bbox_head.regress_ranges', 64, r'regress_ranges: must be .*, not 64'),
        ('evaluation', {'metric': 'segm'}, r"evaluation\.metric: 'segm' .* no mask_head"),
        ('model.rpn_head', {}, r'model\.rpn_head: there is no such key here'),
        ('model.box_convention', 'pixel', r"model\.box_convention: 'pixel' is not one of"),
        ('model.bbox_head.num_classes', 1, r'num_classes: 1 is not an integer of 2 or more'),
        ('model.bbox_head', {}, r'model\.bbox_head\.type: this key is required'),
        ('model.neck', 3, r'model\.neck: 3 is not a dict'),
        ('test_cfg', None, r'test_cfg: must be a dict, not None'),
        ('test_cfg.nms.type', 'nsm', r"test_cfg\.nms\.type: 'nsm'.*did you mean 'nms'"),
        ('test_cfg.rcnn', {}, r'test_cfg\.rcnn: there is no such key here'),
        ('train_cfg', {'asigner': {}}, r"train_cfg\.asigner: .*'assigner'"),
    ],
)
def test_mistakes_are_named_by_their_path(fcos, path, value, message):
    *sections, key = path.split('.')
    place = fcos
    for section in sections:
        place = place[section]
    place[key] = value
    with pytest.raises(ConfigError, match=message):
        lower(fcos).check()
