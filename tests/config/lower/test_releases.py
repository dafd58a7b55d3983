"""Configs of the releases lower and build unchanged, and the shipped ones of their names agree."""

import json
import re

import pytest

from hrdet.config import load_config, lower
from tests.config.published import (
    CONFIGS,
    HRNET_RELEASE,
    MMDET_1,
    MMDET_3,
    config_in,
    differences,
    meaning,
    model_meaning,
    parameters,
    parameters_in,
    record_of,
)

OF_2019 = [('hrnet_release', name) for name in HRNET_RELEASE] + [('mmdet1', n) for n in MMDET_1]
EPOCHS = {
    '1x': (12, [8, 11]),
    '2x': (24, [16, 22]),
    '20e': (20, [16, 19]),
    '28e': (28, [24, 27]),
}


def test_the_lists_are_complete(reference_dir):
    for release, names in (
        ('hrnet_release', HRNET_RELEASE),
        ('mmdet1', MMDET_1),
        ('mmdet3', MMDET_3),
    ):
        found = {path.stem for path in (reference_dir / f'manifests/{release}').glob('*.json')}
        assert {n for n in found if not n.startswith(('cls_', 'summary'))} == set(names)


@pytest.mark.parametrize(('release', 'name'), OF_2019)
def test_configs_of_2019_build_unchanged(reference_dir, release, name):
    record = record_of(reference_dir, release, name)
    assert parameters(lower(config_in(record)).model) == parameters_in(record)


@pytest.mark.parametrize(('release', 'name'), OF_2019)
def test_shipped_configs_mean_what_the_release_means(reference_dir, release, name):
    """Images in folders instead of zip files, both seen as RGB by the model."""
    theirs = meaning(lower(config_in(record_of(reference_dir, release, name))))
    ours = meaning(lower(load_config(CONFIGS / f'hrnet/{name}.py')))
    allowed = {'trackers'}  # which writes TensorBoard's files or not
    if name.endswith('w18_randresizecrop_2x'):
        # The release's file of this name is its 1x file with another work_dir.
        allowed |= {'max_epochs', 'schedule'}
    if release == 'mmdet1':
        # It does not load crowds, which no assigner of these models asks for.
        assert crowds(ours) != crowds(theirs)
        if name in HRNET_RELEASE:  # whose tests take 2000 proposals instead of 1000
            for values in (ours, theirs):
                del values['model']['rpn_head']['test_proposals']
    assert set(found := differences(ours, theirs)) <= allowed, found


def crowds(meaning: dict) -> bool:
    return meaning['train']['dataset'].pop('with_crowd')


def in_words_of_2019(model: dict) -> dict:
    """The sections of a config for a model that is written in mmdetection 3's words."""
    model = json.loads(
        json.dumps(model)
        .replace('"Shared2FCBBoxHead"', '"SharedFCBBoxHead"')
        .replace('"output_size"', '"out_size"')
        .replace('"sampling_ratio"', '"sample_num"')
        .replace('"iou_threshold"', '"iou_thr"')
    )
    norm = model.pop('data_preprocessor')
    norm = dict(mean=norm['mean'], std=norm['std'], to_rgb=norm['bgr_to_rgb'])
    train, test = model.pop('train_cfg', None), model.pop('test_cfg')
    model['backbone'].pop('init_cfg')
    if 'roi_head' in model:
        roi = model.pop('roi_head')
        weights = roi.pop('stage_loss_weights', None)
        train |= {} if weights is None else dict(stage_loss_weights=weights)
        assert (roi.pop('train_cfg'), roi.pop('test_cfg')) == (train['rcnn'], test['rcnn'])
        anchors = model['rpn_head'].pop('anchor_generator')
        anchors.pop('type')
        model['rpn_head'] |= {f'anchor_{key}': value for key, value in anchors.items()}
        model |= {key: value for key, value in roi.items() if key != 'type'}
        test['rpn'] = proposals(test['rpn'])
        train['rpn_proposal'] = proposals(train['rpn_proposal'])
    else:
        model['bbox_head'] = {k: v for k, v in model['bbox_head'].items() if not k.endswith('cfg')}
    model['box_convention'] = 'continuous'
    for head in [h for name in ('bbox_head', 'mask_head', 'rpn_head') for h in heads(model, name)]:
        if 'num_classes' in head:
            head['num_classes'] += 1
        if 'bbox_coder' in head:
            coder = head.pop('bbox_coder')
            head |= {key: coder[key] for key in ('target_means', 'target_stds')}
    for head in heads(model, 'semantic_head'):
        loss = head.pop('loss_seg')
        head |= dict(ignore_label=loss['ignore_index'], loss_weight=loss['loss_weight'])
        assert head.pop('seg_scale_factor') == 1 / 8
    return dict(model=model, train_cfg=train, test_cfg=test, img_norm_cfg=norm)


def heads(model: dict, name: str) -> list[dict]:
    value = model.get(name, [])
    return value if isinstance(value, list) else [value]


def proposals(section: dict) -> dict:
    """One number limits the proposals of a level and of all levels."""
    count = section.pop('max_per_img')
    return section | dict(nms_thr=section.pop('nms')['iou_thr'], nms_post=count, max_num=count)


@pytest.mark.parametrize('name', MMDET_3)
def test_continuous_configs_mean_what_mmdetection_3_means(reference_dir, name):
    record = record_of(reference_dir, 'mmdet3', name)
    config = load_config(CONFIGS / f'hrnet/continuous/{name}.py').to_dict()
    ours = lower(config)
    assert parameters(ours.model) == record['params']
    words = in_words_of_2019(record['model'])
    for split in ('train', 'val', 'test'):
        config['data'][split]['img_norm_cfg'] = words['img_norm_cfg']
    theirs = lower(config | {k: words[k] for k in ('model', 'train_cfg', 'test_cfg')})
    found = differences(model_meaning(ours), model_meaning(theirs))
    assert not found, found


@pytest.mark.parametrize('name', MMDET_3)
def test_the_schedules_of_mmdetection_3(name):
    config = lower(load_config(CONFIGS / f'hrnet/continuous/{name}.py'))
    epochs, steps = EPOCHS[re.search(r'(1x|2x|20e|28e)', name)[0]]
    fcos = name.startswith('fcos')
    assert config.training.max_epochs == epochs
    warmup, steps_found = config.training.schedule
    assert steps_found['milestones'] == steps
    constant = fcos and epochs == 12
    assert warmup['type'] == ('ConstantLR' if constant else 'LinearLR')
    factor = warmup['factor' if constant else 'start_factor']
    assert factor == (1 / 3 if constant else 0.001)
    assert config.training.optimizer['lr'] == (0.01 if fcos else 0.02)
    assert (config.training.grad_clip is None) == (not fcos)
    scales = config.train['dataset']['transforms'][0]['scales']
    multi = [(1333, 640), (1333, 800)]
    assert scales == (multi if 'ms-640-800' in name else multi[1:])
