"""Whatever key of a recorded config is misspelt, lowering or building says where."""

import copy
import re
from collections.abc import Iterator

import pytest
import torch

import hrdet.data
import hrdet.evaluation
import hrdet.models
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import lower
from hrdet.optim import build_optimizer
from hrdet.registry import ConfigError, build
from tests.config import mmdet2
from tests.config.mmdet3 import whole
from tests.config.published import config_in, record_of, recorded_configs


def key_paths(value, path: tuple = ()) -> Iterator[tuple]:
    """The path of every key of nested dicts and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from key_paths(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from key_paths(item, (*path, i))


def misspelt(config: dict, path: tuple) -> dict:
    config = copy.deepcopy(config)
    place = config
    for key in path[:-1]:
        place = place[key]
    place[f'{path[-1]}x'] = place.pop(path[-1])
    return config


def checked(config: dict, with_backbone: bool) -> None:
    """Lower a config and check all its parts; build the backbone, which reads ``extra`` itself."""
    run = lower(config)
    run.check()
    if with_backbone:
        with torch.device('meta'):
            build(run.model['backbone'])
    build_optimizer(torch.nn.Linear(1, 1), run.training.optimizer)


def check_every_key(config: dict, variables: tuple[str, ...]) -> None:
    """Every key but those below the variables of the file, which nothing reads."""
    checked(config, with_backbone=True)
    paths = [path for path in key_paths(config) if path[0] not in variables]
    assert len(paths) > 80
    for path in paths:
        with pytest.raises(ConfigError) as caught:
            checked(misspelt(config, path), with_backbone='backbone' in path)
        # One message covers what stands inside ``extra`` of the backbone, and a missing type.
        inner = 'extra' in path or path[-2:] == ('norm_cfg', 'type')
        sections = path[:2] if inner else path[:-1]
        named = '.'.join(str(key) for key in sections if not isinstance(key, int))
        # The optimizer's rules have two names.
        named, message = (
            text.replace('paramwise_cfg', 'paramwise_options')
            for text in (named, str(caught.value))
        )
        assert re.sub(r'\[\d+\]', '', message).startswith(named), path


@pytest.mark.parametrize(
    ('release', 'name'),
    [
        ('hrnet_release', 'faster_rcnn_hrnetv2p_w18_syncbn_randresizecrop_2x'),
        ('hrnet_release', 'mask_rcnn_hrnetv2p_w18_1x'),
        ('mmdet1', 'faster_rcnn_hrnetv2p_w18_1x'),
        ('mmdet1', 'htc_hrnetv2p_w18_20e'),
        ('mmdet1', 'fcos_hrnetv2p_w18_gn_1x_4gpu'),
    ],
)
def test_in_the_language_of_2019(reference_dir, release, name):
    config = config_in(record_of(reference_dir, release, name))
    variables = ('dataset_type', 'data_root', 'img_norm_cfg', 'train_pipeline', 'test_pipeline')
    if config['model']['type'] == 'FCOS':  # which has no use for its assigner
        config['train_cfg'].pop('assigner')
    check_every_key(config, variables)


@pytest.mark.parametrize(
    'name',
    [
        'faster-rcnn_hrnetv2p-w18-1x_coco',
        'htc_hrnetv2p-w18_20e_coco',
        'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco',
    ],
)
def test_of_mmdetection_3(reference_dir, name):
    config = whole(record_of(reference_dir, 'mmdet3', name), name)
    for head in ('roi_head', 'bbox_head'):  # which repeat settings of the model
        for cfg in ('train_cfg', 'test_cfg'):
            config['model'].get(head, {}).pop(cfg, None)
    check_every_key(config, ('vis_backends', 'default_scope'))


@pytest.mark.parametrize(
    ('table', 'name'),
    [
        ('mmpretrain_configs', 'hrnet-w18_4xb32_in1k'),
        ('mmseg1_configs', 'fcn_hr18_4xb2-40k_cityscapes-512x1024'),
    ],
)
def test_of_openmmlab_2(reference_dir, table, name):
    config = recorded_configs(reference_dir, table)[name]
    if table == 'mmseg1_configs':
        del config['data_preprocessor']  # which repeats the model's
    variables = (
        *('dataset_type', 'data_root', 'train_pipeline', 'test_pipeline', 'norm_cfg', 'crop_size'),
        *('img_ratios', 'vis_backends', 'default_scope', 'optimizer'),
    )
    check_every_key(config, variables)


@pytest.mark.parametrize(
    ('table', 'name'),
    [
        ('mmseg0_configs', 'fcn_hr18_480x480_40k_pascal_context_59'),
        ('mmseg0_configs', 'fcn_hr48_512x512_20k_voc12aug'),
        ('mmcls0_configs', 'hrnet-w18_4xb32_in1k'),
    ],
)
def test_of_mmsegmentation_and_mmcls_0(reference_dir, table, name):
    config = recorded_configs(reference_dir, table)[name]
    variables = ('dataset_type', 'data_root', 'img_norm_cfg', 'train_pipeline', 'test_pipeline')
    check_every_key(config, (*variables, 'norm_cfg', 'crop_size', 'img_scale'))


@pytest.mark.parametrize(
    'name',
    [
        'mask-rcnn_hrnetv2p-w18-1x_coco',
        'htc_hrnetv2p-w18_20e_coco',
        'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco',
    ],
)
def test_of_mmdetection_2(reference_dir, name):
    config = mmdet2.whole(record_of(reference_dir, 'mmdet3', name), name)
    for head in ('roi_head', 'bbox_head'):
        for cfg in ('train_cfg', 'test_cfg'):
            config['model'].get(head, {}).pop(cfg, None)
    check_every_key(config, ())
