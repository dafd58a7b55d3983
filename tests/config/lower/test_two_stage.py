"""The model sections of two-stage detectors."""

import pytest

import hrdet.data
import hrdet.evaluation
import hrdet.matching
import hrdet.models
import hrdet.tracking  # all register their types
from hrdet.boxes import BoxConvention
from hrdet.config import Node, check_num_classes, lower, with_num_classes
from hrdet.registry import ConfigError, build
from tests.config.published import equal, with_defaults


def test_sections_end_up_where_they_are_used(config):
    model = lower(config).model
    rpn, roi = model['rpn_head'], model['roi_head']
    assert rpn['anchors'] == {
        'type': 'AnchorGenerator',
        'strides': [4, 8, 16, 32, 64],
        'scales': [8],
        'ratios': [0.5, 1.0, 2.0],
        'base_sizes': None,
    }
    assert rpn['coder']['stds'] == [1.0, 1.0, 1.0, 1.0]
    assert rpn['assigner'] == config['train_cfg']['rpn']['assigner']
    assert rpn['assigner'].path == 'train_cfg.rpn.assigner'
    assert rpn['loss_bbox'] == {'type': 'SmoothL1Loss', 'beta': 1 / 9}
    assert rpn['test_proposals']['nms_pre'] == 2000
    assert roi['region_sampler']['sampler'] == config['train_cfg']['rcnn']['sampler']
    assert roi['bbox_roi_extractor']['out_size'] == 7
    assert roi['bbox_head']['coder']['stds'] == [0.1, 0.1, 0.2, 0.2]
    assert roi['nms'] == {'type': 'nms', 'iou_thr': 0.5}
    assert (roi['score_thr'], roi['max_per_img']) == (0.05, 100)


def test_the_release_trains_on_its_test_proposals(config):
    assert lower(config).model['rpn_head']['train_proposals']['max_num'] == 2000
    config['train_cfg']['rpn_proposal'] = dict(nms_pre=9, nms_post=8, max_num=7, nms_thr=0.6)
    rpn = lower(config).model['rpn_head']
    assert rpn['train_proposals']['max_num'] == 7
    assert rpn['test_proposals']['max_num'] == 2000


def test_the_beta_of_the_rpn_loss(config):
    config['train_cfg']['rpn']['smoothl1_beta'] = 0.5
    assert lower(config).model['rpn_head']['loss_bbox']['beta'] == 0.5
    del config['train_cfg']['rpn']['smoothl1_beta']
    assert lower(config).model['rpn_head']['loss_bbox']['beta'] == 1 / 9


def test_the_1x_dialect(config, config_1x):
    old, new = (with_defaults(lower(one).model['rpn_head']) for one in (config, config_1x))
    assert new['train_proposals'] == old['train_proposals']
    assert new['test_proposals']['max_num'] == 1000
    for key in ('anchors', 'coder', 'loss_cls', 'loss_bbox', 'assigner', 'sampler'):
        assert equal(new[key], old[key]), key


def test_the_convention_reaches_every_part_that_asks(config):
    config['model']['box_convention'] = 'continuous'
    lowered = lower(config)
    model = build(with_num_classes(lowered.model, 2))
    assert model.convention == model.roi_head.convention == BoxConvention.CONTINUOUS
    assert model.roi_head.bbox_roi_extractor.half_pixel
    assert str(lowered.model).count("'continuous'") == 1, 'said once, and passed on'
    for dataset in (lowered.train['dataset'], lowered.val['dataset'], lowered.test['dataset']):
        assert dataset['box_convention'] == 'continuous'
        assert dataset['transforms'][0]['exact_scale'] is True


@pytest.mark.parametrize(('width', 'base'), [(32, 32), ('18-small', 18)])
def test_width_tells_the_neck_its_input(config, width, base):
    config['model']['backbone'] = {'type': 'HRNet', 'width': width}
    assert lower(config).model['neck']['in_channels'] == [base, 2 * base, 4 * base, 8 * base]


def test_a_neck_that_says_its_input_is_believed(config):
    config['model']['neck']['in_channels'] = [1, 2, 3, 4]
    assert lower(config).model['neck']['in_channels'] == [1, 2, 3, 4]


def test_types_of_the_user_pass_through(config):
    config['model']['backbone'] = {'type': 'MyNet', 'anything': [{'goes': 1}]}
    config['model']['bbox_head'] = {'type': 'MyHead', 'num_classes': 4, 'mine': 1}
    model = lower(config).model
    assert model['backbone'] == config['model']['backbone']
    assert model['roi_head']['bbox_head'] == {'type': 'MyHead', 'num_classes': 3, 'mine': 1}


def test_samplers_in_a_combined_sampler_share_its_numbers(config):
    config['train_cfg']['rcnn']['sampler'] = dict(
        type='CombinedSampler',
        num=64,
        pos_fraction=0.5,
        add_gt_as_proposals=True,
        pos_sampler=dict(type='InstanceBalancedPosSampler'),
        neg_sampler=dict(type='IoUBalancedNegSampler', floor_thr=0.1, num_bins=2),
    )
    sampler = build(lower(config).model['roi_head']['region_sampler']['sampler'])
    assert isinstance(sampler, hrdet.matching.CombinedSampler)
    assert (sampler.neg_sampler.num, sampler.neg_sampler.num_bins) == (64, 2)


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        ('model.type', 'MaskedRCNN', r'model\.type: there is no detector .*supported: FasterRCNN'),
        ('model.bakbone', {}, r"model\.bakbone: .*did you mean 'backbone'"),
        ('model.backbone', 3, r'model\.backbone: 3 is not a dict'),
        ('model.rpn_head.anchor_scale', [8], r"rpn_head\.anchor_scale: .*'anchor_scales'"),
        ('model.rpn_head.anchor_ratios', [], r'anchor_ratios: \[\] is not a list of at least one'),
        ('model.neck.in_channels', [], r'in_channels: \[\] is not a list of at least one integer'),
        ('model.rpn_head.use_sigmoid_cls', False, r'model\.rpn_head\.use_sigmoid_cls'),
        ('model.rpn_head.loss_bbox', {'type': 'L1Loss'}, r'train_cfg\.rpn\.smoothl1_beta: '),
        ('model.box_convention', 'pixel', r"model\.box_convention: 'pixel' is not one of"),
        ('model.bbox_head.num_classes', 1, r'num_classes: 1 is not an integer of 2 or more'),
        ('model.bbox_roi_extractor.roi_layer.type', 'RoIPool', r'roi_layer\.type: .RoIPool'),
        ('train_cfg.rpn.asigner', {}, r"train_cfg\.rpn\.asigner: .*'assigner'"),
        ('train_cfg.rpn', {}, r'train_cfg\.rpn\.assigner: this key is required'),
        ('train_cfg.rcnn', [], r'train_cfg\.rcnn: must be a dict'),
        ('train_cfg', None, r'train_cfg: must be a dict, not None'),
        ('test_cfg.rcnn.nms.type', 'nsm', r"test_cfg\.rcnn\.nms\.type: 'nsm'.*did you mean 'nms'"),
        ('test_cfg.rcnn.mask_thr_binary', 0.5, r'test_cfg\.rcnn\.mask_thr_binary: '),
    ],
)
def test_mistakes_are_named_by_their_path(config, path, value, message):
    *sections, key = path.split('.')
    place = config
    for section in sections:
        place = place[section]
    place[key] = value
    with pytest.raises(ConfigError, match=message):
        lower(config).check()


def test_build_names_the_place_in_the_users_config(config):
    config['train_cfg']['rcnn']['assigner']['pos_iou_th'] = 0.5
    with pytest.raises(ConfigError, match=r'train_cfg\.rcnn\.assigner\.pos_iou_th: .*pos_iou_thr'):
        build(lower(config).model['roi_head']['region_sampler']['assigner'])


def test_num_classes_counts_the_background(config):
    config['model']['bbox_head']['num_classes'] = 81
    model = lower(config).model
    assert model['roi_head']['bbox_head']['num_classes'] == 80
    check_num_classes(model, [str(i) for i in range(80)])
    with pytest.raises(
        ConfigError, match=r'model\.bbox_head\.num_classes: the model has 80 classes.* has 2 '
    ):
        check_num_classes(model, ['cat', 'dog'])


def test_num_classes_left_out_is_filled_in(config):
    config['model']['bbox_head'].pop('num_classes', None)
    model = lower(config).model
    check_num_classes(model, ['cat', 'dog'])
    filled = with_num_classes(model, 2)
    assert filled['roi_head']['bbox_head']['num_classes'] == 2
    assert filled['rpn_head']['assigner'].path == 'train_cfg.rpn.assigner'
    assert isinstance(filled['roi_head'], Node)
    assert model['roi_head']['bbox_head']['num_classes'] is None
    assert with_num_classes(filled, 3)['roi_head']['bbox_head']['num_classes'] == 2
