"""Classification: parts of models and steps of pipelines that the shipped configs do not use."""

import pytest

import hrdet.data
import hrdet.models  # noqa: F401  both register their types
from hrdet.config import Node, load_config, lower
from hrdet.config.lower.classification import lower_classification
from hrdet.config.lower.transforms import norm_node
from hrdet.config.node import as_nodes
from hrdet.registry import ConfigError, build
from tests.config.published import CONFIGS

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
NORM = dict(type='Normalize', mean=MEAN, std=STD, to_rgb=True)


@pytest.fixture
def config() -> dict:
    return load_config(CONFIGS / 'hrnet/hrnet-w18_4xb32_in1k.py').to_dict()


def transforms(config: dict, steps: list[dict]) -> list[Node]:
    """What the steps of mmpretrain become."""
    config['train_dataloader']['dataset']['pipeline'] = steps
    return lower(config).check().train['dataset']['transforms']


def old_transforms(config: dict, steps: list[dict]) -> list[Node]:
    """What the steps of mmcls 0.x become."""
    dataset = as_nodes(
        dict(type='CustomDataset', data_prefix='x', pipeline=[*steps, NORM]), 'train'
    )
    split = Node('train', dataset=dataset)
    task = lower_classification(
        as_nodes(config['model'], 'model'), dict(train=split), None, 'openmmlab1'
    )
    assert task['model']['preprocess'] == norm_node('', mean=MEAN, std=STD)
    return task['train']['dataset']['transforms']


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        (
            dict(type='RandomResizedCrop', size=32, scale=(0.5, 1), ratio=(1, 2)),
            dict(
                type='RandomResizedCrop',
                scale=32,
                crop_ratio_range=(0.5, 1),
                aspect_ratio_range=(1, 2),
                max_attempts=10,
                interpolation='bilinear',
                backend='cv2',
            ),
        ),
        (dict(type='RandomFlip', flip_prob=0.3), dict(type='RandomFlip', prob=0.3)),
        (
            dict(type='Resize', size=(256, -1), backend='pillow'),
            dict(
                type='ResizeEdge',
                scale=256,
                edge='short',
                interpolation='bilinear',
                backend='pillow',
            ),
        ),
        (dict(type='Resize', size=(40, 60)), dict(type='Resize', scale=(60, 40))),
        (dict(type='Resize', size=40), dict(type='Resize', scale=40)),
        (dict(type='CenterCrop', crop_size=32), dict(type='CenterCrop', crop_size=32)),
        (dict(type='ImageToTensor', keys=['img']), dict(type='PackInputs')),
    ],
)
def test_both_releases_write_one_step(config, old, new):
    expected = transforms(config, [new])
    assert old_transforms(config, [old]) == expected
    build(expected)


def test_augmentation(config):
    found = transforms(
        config,
        [
            dict(
                type='RandAugment',
                policies='timm_increasing',
                num_policies=2,
                magnitude_level=9,
                hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
            ),
            dict(type='ColorJitter', brightness=0.4, backend='pillow'),
            dict(type='RandomErasing', erase_prob=0.25, mode='rand', aspect_range=(0.3, 3.3)),
        ],
    )
    assert [node['type'] for node in found] == ['RandAugment', 'ColorJitter', 'RandomErasing']
    assert found[0]['pad_val'] == [104, 116, 124]
    build(found)


def test_a_step_of_the_users_own_stays_as_it_is(config):
    config['train_dataloader']['dataset']['pipeline'] = [dict(type='Sharpen', amount=2)]
    assert lower(config).train['dataset']['transforms'] == [dict(type='Sharpen', amount=2)]


def test_mixed_batches_and_smooth_labels(config):
    augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix')]
    config['model']['train_cfg'] = dict(augments=augments, probs=[0.5, 0.5])
    config['model']['head']['loss'] = dict(
        type='LabelSmoothLoss', label_smooth_val=0.1, mode='original', loss_weight=2.0
    )
    model = lower(config).check().model
    assert model['batch_augments'] == [
        dict(type='Mixup', alpha=0.8),
        dict(type='CutMix', alpha=1.0),
    ]
    assert (model['head']['label_smoothing'], model['head']['loss_weight']) == (0.1, 2.0)
    for wrong in (dict(augments=augments, probs=[0.9, 0.1]), dict(probs=[1.0])):
        config['model']['train_cfg'] = wrong
        with pytest.raises(ConfigError, match=r'model\.train_cfg\.probs: each is drawn as often'):
            lower(config)


def test_classes_of_the_data_set(config):
    for split in ('train', 'val'):
        config[f'{split}_dataloader']['dataset']['metainfo'] = dict(classes=('a', 'b'))
    assert lower(config).classes == ('a', 'b')
    config['val_dataloader']['dataset']['metainfo'] = dict(classes=('a', 'c'))
    with pytest.raises(ConfigError, match='a model has one list of classes'):
        lower(config)


def test_paths(config):
    config['train_dataloader']['dataset'] |= dict(
        data_root='root', data_prefix=dict(img_path='images'), ann_file='list.txt'
    )
    dataset = lower(config).check().train['dataset']
    given = {key: dataset[key] for key in ('data_root', 'data_prefix', 'ann_file')}
    assert given == dict(data_root='root', data_prefix='images', ann_file='list.txt')


def test_test_time_augmentation(config):
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    steps = [[dict(type='ResizeEdge', scale=256)], flips, [dict(type='PackInputs')]]
    config['tta_pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=steps),
    ]
    config['tta_model'] = dict(type='AverageClsScoreTTA')
    run = lower(config)
    assert run.use_tta() == '2 views of each image, those of tta_pipeline'
    (views,) = run.check().test['dataset']['transforms']
    kinds = [[step['type'] for step in view] for view in views['views']]
    assert kinds == [['ResizeEdge'], ['ResizeEdge', 'RandomFlip']]


@pytest.mark.parametrize('topk', [0.5, '1', [1, 0], [None]])
def test_ranks_that_are_no_counts(config, topk):
    config['val_evaluator'] = config['test_evaluator'] = dict(type='Accuracy', topk=topk)
    with pytest.raises(ConfigError, match=r'evaluator\.topk'):
        lower(config)
