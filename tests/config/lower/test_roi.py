"""The second stages: masks, cascades and the semantic branch."""

import copy

import pytest

import hrdet.data
import hrdet.evaluation
import hrdet.models
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import check_num_classes, load_config, lower, with_num_classes
from hrdet.registry import ConfigError, build
from tests.config.published import CONFIGS

SHIPPED = {
    'mask': 'mask_rcnn_hrnetv2p_w18_1x',
    'cascade': 'cascade_rcnn_hrnetv2p_w18_20e',
    'cascade_mask': 'cascade_mask_rcnn_hrnetv2p_w18_20e',
    'htc': 'htc_hrnetv2p_w18_20e',
}


@pytest.fixture(scope='module')
def shipped():
    return {
        kind: load_config(CONFIGS / f'hrnet/{name}.py').to_dict() for kind, name in SHIPPED.items()
    }


@pytest.fixture
def configs(shipped):
    return copy.deepcopy(shipped)


def test_masks_end_up_where_they_are_used(configs):
    config = configs['mask']
    config['train_cfg']['rcnn']['mask_size'] = 20
    config['test_cfg']['rcnn']['mask_thr_binary'] = 0.4
    lowered = lower(config)
    roi = lowered.model['roi_head']
    assert (roi['mask_size'], roi['mask_thr_binary']) == (20, 0.4)
    assert roi['mask_roi_extractor']['out_size'] == 14
    assert roi['mask_head']['loss_mask'] == dict(type='CrossEntropyLoss', use_sigmoid=True)
    assert lowered.train['dataset']['with_mask']
    assert lowered.test['evaluator']['metrics'] == ['bbox', 'segm']
    config['evaluation']['metric'] = 'bbox'
    assert lower(config).test['evaluator']['metrics'] == ['bbox']


def test_the_mask_loss_of_mmdetection(configs):
    loss = dict(type='CrossEntropyLoss', use_mask=True, loss_weight=2.0)
    configs['mask']['model']['mask_head']['loss_mask'] = loss
    lowered = lower(configs['mask']).model['roi_head']['mask_head']['loss_mask']
    assert lowered == dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=2.0)


def test_a_mask_that_does_not_fit_its_head_is_named(configs):
    configs['mask']['train_cfg']['rcnn']['mask_size'] = 20
    with pytest.raises(ConfigError, match=r'^model .*mask_size=20, but .* maps of 28'):
        build(with_num_classes(lower(configs['mask']).model, 2))


def test_all_heads_count_the_classes(configs):
    for kind, heads in (('mask', 2), ('cascade_mask', 6), ('htc', 6)):
        model = lower(configs[kind]).model
        found = str(with_num_classes(model, 7)).count("'num_classes': 7")
        assert found == heads, kind
    configs['htc']['model']['mask_head']['num_classes'] = 8
    model = lower(configs['htc']).model
    check_num_classes(model, 'abcdefg')  # the stuff's 183 are others
    with pytest.raises(
        ConfigError, match=r'model\.mask_head\.num_classes: the model has 7 classes, the'
    ):
        check_num_classes(model, 'ab')


def test_each_stage_has_its_own_settings(configs):
    roi = lower(configs['cascade']).model['roi_head']
    assert [head['coder']['stds'][0] for head in roi['bbox_head']] == [0.1, 0.05, 0.033]
    assert [s['assigner']['pos_iou_thr'] for s in roi['region_sampler']] == [0.5, 0.6, 0.7]
    assert roi['region_sampler'][1]['assigner'].path == 'train_cfg.rcnn[1].assigner'
    assert roi['stage_loss_weights'] == [1, 0.5, 0.25]
    assert 'mask_head' not in roi


def test_one_head_is_for_all_stages(configs):
    model = configs['cascade_mask']['model']
    model['bbox_head'] = model['bbox_head'][0]
    roi = lower(configs['cascade_mask']).model['roi_head']
    assert len(roi['bbox_head']) == len(roi['mask_head']) == 3
    assert roi['bbox_head'][0] == roi['bbox_head'][2]
    heads = build(with_num_classes(lower(configs['cascade_mask']).model, 2)).roi_head.bbox_head
    assert heads[0] is not heads[2]


@pytest.mark.parametrize(('flow', 'expected'), [(True, [False, True, True]), (False, [False] * 3)])
def test_features_of_masks_flow_from_the_second_stage_on(configs, flow, expected):
    """As one section for all stages, and as mmdetection 1 wrote it before the first lost it."""
    config = configs['htc']
    config['model']['mask_info_flow'] = flow
    head = config['model']['mask_head'] | dict(with_conv_res=True)
    for mask_head in (config['model']['mask_head'], [head] * 3):
        config['model']['mask_head'] = mask_head
        heads = lower(config).model['roi_head']['mask_head']
        assert [each['with_conv_res'] for each in heads] == expected


def test_htc_learns_from_semantic_maps(configs):
    lowered = lower(configs['htc'])
    roi = lowered.model['roi_head']
    assert roi['semantic_head']['semantic_classes'] == 183
    assert roi['semantic_fusion'] == ('bbox', 'mask')
    assert (roi['interleaved'], roi['mask_info_flow']) == (True, True)
    assert lowered.train['dataset']['seg_prefix'].endswith('stuffthingmaps/train2017/')
    assert lowered.train['dataset']['semantic_classes'] == 183
    rescale = lowered.train['dataset']['transforms'][-1]
    assert rescale == dict(type='SegRescale', scale_factor=0.125)
    configs['htc']['model']['semantic_head']['fusion_level'] = 0
    configs['htc']['model']['semantic_roi_extractor']['featmap_strides'] = [4]
    for factor in ({}, dict(seg_scale_factor=0.25), dict(semantic_scale_factor=0.25)):
        config = copy.deepcopy(configs['htc'])
        config['data']['train'] |= factor
        rescale = lower(config).train['dataset']['transforms'][-1]
        assert rescale == dict(type='SegRescale', scale_factor=0.25)


def test_htc_without_semantic_maps_leaves_the_branch_out(configs):
    config = configs['htc']
    del config['data']['train']['seg_prefix']
    lowered = lower(config)
    roi = lowered.model['roi_head']
    assert not [key for key in roi if key.startswith('semantic')]
    assert roi['type'] == 'HybridTaskCascadeRoIHead'
    (warning,) = lowered.warnings
    assert warning.startswith('model.semantic_head: left out of the model')
    for section in ('semantic_head', 'semantic_roi_extractor'):  # the first alone is enough
        config['model'][section] = None
        assert lower(config).model == lowered.model
        assert lower(config).warnings == []


def test_steps_that_load_semantic_maps_without_their_folder(configs, config_1x):
    config = config_1x | {key: configs['htc'][key] for key in ('model', 'train_cfg', 'test_cfg')}
    config['auto_scale_lr'] = dict(base_batch_size=16)
    steps = config['data']['train']['pipeline']
    steps[1] |= dict(with_mask=True, with_seg=True)
    steps.insert(6, dict(type='SegRescale', scale_factor=0.125))
    lowered = lower(config)
    assert 'seg_prefix' not in lowered.train['dataset']
    assert 'semantic_head' not in lowered.model['roi_head']
    assert len(lowered.warnings) == 1
    config['data']['train']['seg_prefix'] = 'maps'
    assert 'semantic_head' in lower(config).model['roi_head']
    del steps[6]
    with pytest.raises(ConfigError, match=r'maps are scaled by 1, .* scale_factor=1/8\)'):
        lower(config)
    del steps[1]['with_mask']
    with pytest.raises(ConfigError, match=r'data\.train: with_mask .* the step LoadAnnotations'):
        lower(config)


def test_a_config_that_only_predicts_keeps_the_semantic_branch(configs):
    config = configs['htc']
    del config['data']['train']
    lowered = lower(config)
    assert 'semantic_head' in lowered.model['roi_head']
    assert lowered.warnings == []


def test_all_training_data_has_maps_or_none(configs):
    train = configs['htc']['data']['train']
    configs['htc']['data']['train'] = [train, train | dict(seg_prefix=None)]
    with pytest.raises(ConfigError, match=r'data\.train\[0\] and data\.train\[1\]: one has sem'):
        lower(configs['htc'])


@pytest.mark.parametrize(
    ('kind', 'path', 'value', 'message'),
    [
        ('mask', 'model.num_stages', 3, r'model\.num_stages: there is no such key'),
        ('mask', 'model.mask_head', None, r'model\.mask_head: None is not a dict'),
        ('mask', 'model.mask_head.upsample_method', 'nearest', r"mask_head\.upsample_method: 'nea"),
        ('mask', 'model.mask_head.num_conv', 4, r"mask_head\.num_conv: .*'num_convs'"),
        ('mask', 'train_cfg.stage_loss_weights', [1], r'stage_loss_weights: this detector has one'),
        (
            'cascade',
            'train_cfg.stage_loss_weights',
            [1, 1],
            r'must be a list of 3 numbers',
        ),
        (
            'cascade',
            'train_cfg.stage_loss_weights',
            ['a', 0.5, 1],
            r"of 0 or more, not \['a', 0\.5",
        ),
        ('cascade', 'train_cfg.stage_loss_weights', [1, -1, 1], r'of 0 or more, not \[1, -1, 1'),
        ('cascade', 'train_cfg.rcnn', {}, r'train_cfg\.rcnn: a cascade needs a list'),
        ('cascade', 'train_cfg.rcnn', [{}], r'train_cfg\.rcnn: 1 entries, but num_stages=3'),
        ('cascade', 'train_cfg.rcnn', [1, 2, 3], r'train_cfg\.rcnn\[0\]: 1 is not a dict'),
        ('cascade', 'train_cfg.rcnn.1.mask_size', 28, r'rcnn\[1\]\.mask_size: .* no mask_head'),
        ('cascade', 'test_cfg.rcnn.mask_thr_binary', 0.5, r'mask_thr_binary: .* no mask_head'),
        ('mask', 'test_cfg.rcnn.mask_thr_binary', 1, r'mask_thr_binary: 1 is not a number between'),
        (
            'mask',
            'test_cfg.rcnn.mask_thr_binary',
            '0.5',
            r"mask_thr_binary: '0\.5' is not a number",
        ),
        ('mask', 'data.train.with_mask', False, r'data\.train: .* learns from masks: with_mask=Tr'),
        ('cascade', 'evaluation.metric', ['bbox', 'segm'], r"evaluation\.metric: 'segm' .* leave"),
        ('cascade', 'test_cfg.keep_all_stages', True, r'test_cfg\.keep_all_stages: True is not'),
        ('cascade', 'model.num_stages', 2, r'model\.bbox_head: 3 entries, but num_stages=2'),
        ('cascade', 'model.num_stages', 0, r'model\.num_stages: 0 is not an integer of 1'),
        (
            'cascade',
            'model.mask_roi_extractor',
            {},
            r'model\.mask_head: must be a dict with a type',
        ),
        ('cascade', 'model.bbox_head.2.num_fc', 1, r"bbox_head\[2\]\.num_fc: .*'num_fcs'"),
        ('cascade_mask', 'train_cfg.rcnn.1.mask_size', 14, r'rcnn: the stages differ in mask_size'),
        ('htc', 'model.semantic_roi_extractor', None, r'semantic_roi_extractor: must be a dict'),
        ('htc', 'model.semantic_roi_extractor.featmap_strides', 8, r'featmap_strides: .* not 8'),
        ('htc', 'model.semantic_roi_extractor.featmap_strides', [4, 8], r'one stride, .* \[4, 8\]'),
        ('htc', 'model.semantic_roi_extractor.featmap_strides', [0], r'featmap_strides\[0\]: 0 is'),
        ('htc', 'model.semantic_head.num_in', 5, r"semantic_head\.num_in: .*'num_ins'"),
        ('htc', 'model.semantic_fusion', ['box'], r"semantic_fusion\[0\]: 'box' is not one of"),
        ('htc', 'model.semantic_fusion', 'bbox', r"semantic_fusion: must be a list .*, not 'bbox'"),
        ('htc', 'model.semantic_fusion', [], r'fuse nothing, set model\.semantic_head=None'),
        ('htc', 'model.interleaved', 1.5, r'model\.interleaved: 1\.5 is not one of'),
        ('htc', 'model.mask_head.type', 'FCNMaskHead', r'FCNMaskHead passes no features on'),
        ('htc', 'data.train.semantic_scale_factor', 1, r'by 1, .* stride 8: seg_scale_factor=1/8'),
        ('htc', 'data.train.seg_scale_factor', 0.25, r'data\.train: .* by 0\.25, .* stride 8'),
        ('htc', 'data.train.semantic_scale_factors', 1, r"did you mean 'seg_scale_factor'"),
    ],
)
def test_mistakes_are_named_by_their_path(configs, kind, path, value, message):
    *sections, key = path.split('.')
    place = configs[kind]
    for section in sections:
        place = place[int(section) if section.isdigit() else section]
    place[key] = value
    with pytest.raises(ConfigError, match=message):
        lower(configs[kind]).check()
