"""OpenMMLab 2: the Runner's fields, and configs of its projects as they were recorded."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hrdet.data
import hrdet.evaluation
import hrdet.models
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import load_config, lower
from hrdet.data import collate
from hrdet.registry import ConfigError, build
from tests.config.published import CONFIGS, parameters, recorded_configs

CLASSIFIERS = [f'hrnet-w{width}_4xb32_in1k' for width in (18, 30, 32, 40, 44, 48, 64)]


@pytest.fixture
def config() -> dict:
    """A whole config of a classifier."""
    return load_config(CONFIGS / 'hrnet/hrnet-w18_4xb32_in1k.py').to_dict()


def shipped(path: Path):
    """A shipped config lowered, with the default name of the work folder left out."""
    run = lower(load_config(path))
    return replace(run, runtime=replace(run.runtime, work_dir=None))


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_a_classifier_of_mmpretrain_is_the_shipped_one(reference_dir, name):
    theirs = lower(recorded_configs(reference_dir, 'mmpretrain_configs')[name])
    assert theirs == shipped(CONFIGS / f'hrnet/{name}.py')
    assert theirs.warnings == []


def test_the_list_is_complete(reference_dir):
    assert sorted(recorded_configs(reference_dir, 'mmpretrain_configs')) == sorted(CLASSIFIERS)


@pytest.mark.parametrize(
    ('version', 'official'),
    # Parameters of HRNet-Image-Classification's models, whose four convolutions of the head have
    # 3,840 biases that hrdet folds into the norms behind them.
    [(1, 13_187_464), (2, 15_597_464)],
)
def test_small_classifiers(version, official):
    run = shipped(CONFIGS / f'hrnet/hrnet-w18-small-v{version}_4xb32_in1k.py')
    assert parameters(run.model) == official - 3840


def change(config: dict, path: str, value) -> dict:
    """A config with another value at a path, where missing sections are made."""
    config = copy.deepcopy(config)
    *sections, key = path.split('.')
    place = config
    for section in sections:
        if isinstance(place, list):
            place = place[int(section)]
        else:
            place = place.setdefault(section, {})
    place[int(key) if isinstance(place, list) else key] = value
    return config


def training(config: dict, **changes):
    for path, value in changes.items():
        config = change(config, path.replace('__', '.'), value)
    return lower(config).check().training


class TestOptimizer:
    def test_accumulation_clipping_and_multipliers(self, config):
        found = training(
            config,
            optim_wrapper__accumulative_counts=4,
            optim_wrapper__clip_grad=dict(max_norm=1.0),
            optim_wrapper__paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(fc={})),
        )
        assert found.accumulate == 4
        assert found.grad_clip == dict(max_norm=1.0, norm_type=2)
        assert found.optimizer['paramwise_cfg']['norm_decay_mult'] == 0.0
        assert found.optimizer['paramwise_cfg']['custom_keys'] == dict(fc={})

    @pytest.mark.parametrize(
        ('wrapper', 'amp'),
        [
            (dict(type='OptimWrapper'), None),
            (dict(type='AmpOptimWrapper'), 'float16'),
            (dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='bfloat16'), 'bfloat16'),
        ],
    )
    def test_precision(self, config, wrapper, amp):
        config['optim_wrapper'] |= wrapper
        assert training(config).amp == amp

    def test_a_constant_scale_is_a_warning(self, config):
        config['optim_wrapper'] |= dict(type='AmpOptimWrapper', loss_scale=512.0)
        (warning,) = lower(config).warnings
        assert warning.startswith('optim_wrapper.loss_scale')


class TestSchedule:
    def test_one_or_several(self, config):
        one = dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False)
        config['train_cfg'] = dict(type='IterBasedTrainLoop', max_iters=400, val_interval=40)
        found = training(config | dict(param_scheduler=[one | dict(begin=10)]))
        same = dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False, begin=10, end=400)
        assert found.schedule == [same]
        assert found.max_iters == 400
        assert found.val_interval == 40

    def test_a_cosine_is_as_long_as_the_run(self, config):
        config['param_scheduler'] = dict(type='CosineAnnealingLR', begin=20)
        (factor,) = training(config).schedule
        assert (factor['T_max'], factor['end']) == (80, 100)

    def test_late_milestones_are_a_warning(self, config):
        config['param_scheduler'] = dict(type='MultiStepLR', milestones=[60, 100])
        (warning,) = lower(config).warnings
        assert '[100] is never reached' in warning


def test_hooks_and_trackers(config):
    found = training(
        config,
        default_hooks__logger__interval=7,
        default_hooks__checkpoint=dict(type='CheckpointHook', interval=3, max_keep_ckpts=2),
        default_hooks__timer=dict(type='IterTimerHook'),
        visualizer=dict(
            type='Visualizer',
            vis_backends=[dict(type='LocalVisBackend'), dict(type='WandbVisBackend')],
        ),
        custom_hooks=[
            dict(type='EMAHook', momentum=0.01, priority='ABOVE_NORMAL'),
            dict(type='EarlyStoppingHook', monitor='accuracy/top1', patience=3),
            dict(type='NumClassCheckHook'),
        ],
    )
    assert found.log_interval == 7
    assert found.checkpoint == dict(interval=3, max_keep=2)
    assert [tracker['type'] for tracker in found.trackers] == ['WandB']
    assert found.ema == dict(momentum=0.01)
    assert found.early_stopping == dict(patience=3, metric='top1', min_delta=0.1)
    assert found.hooks == []


def test_where_it_runs(config):
    config |= dict(
        env_cfg=dict(
            cudnn_benchmark=True,
            mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
            dist_cfg=dict(backend='gloo'),
        ),
        randomness=dict(seed=3, deterministic=False),
        load_from='a.pth',
        resume=True,
        log_level='ERROR',
    )
    runtime = lower(config).runtime
    assert (runtime.cudnn_benchmark, runtime.backend, runtime.seed) == (True, 'gloo', 3)
    assert (runtime.resume_from, runtime.load_from) == ('a.pth', None)
    config['model']['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='b.pth')
    runtime = lower(config | dict(resume=False)).runtime
    assert (runtime.load_from, runtime.pretrained) == ('a.pth', 'b.pth')


def test_variables_of_a_config_file(config):
    optimizer = config['optim_wrapper']['optimizer']
    lower(config | dict(optimizer=optimizer, train_pipeline=[], default_scope='mmpretrain'))
    (warning,) = lower(config | dict(optimizer=optimizer | dict(lr=1.0))).warnings
    assert warning.startswith('optimizer: a variable of the config file')


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        ('optim_wrapper.optimiser', {}, "did you mean 'optimizer'"),
        ('optim_wrapper.dtype', 'float16', "belongs to type='AmpOptimWrapper'"),
        ('optim_wrapper.paramwise_cfg.norm_decay', 0, "did you mean 'norm_decay_mult'"),
        ('optim_wrapper.type', 'ApexOptimWrapper', "'OptimWrapper', 'AmpOptimWrapper'"),
        ('train_cfg.max_iters', 10, 'counted in epochs'),
        ('train_cfg.max_epochs', 0, 'an integer of 1 or more'),
        ('train_cfg.val_begin', 5, 'one of 1'),
        ('param_scheduler.type', 'OneCycleLR', 'is not one of .*LinearLR'),
        ('param_scheduler.by_epoch', 1, 'True, False'),
        ('param_scheduler.power', 1, 'T_max'),
        ('param_scheduler.end', 0, '1 or more'),
        ('default_hooks.timer', dict(type='MyTimer'), 'custom_hooks'),
        ('default_hooks.checkpoint.by_epoch', False, 'counted in epochs'),
        ('default_hooks.checkpoint.save_best', 'loss', 'accuracy/top1'),
        ('custom_hooks', dict(type='EMAHook'), 'must be a list, not'),
        ('custom_hooks', [dict(type='EMAHook', gamma=1)], 'there is no such key'),
        ('randomness.deterministic', True, 'one of False'),
        ('train_dataloader.sampler', dict(type='DefaultSampler', shuffle=False), 'shuffle'),
        ('train_dataloader.batch_size', '4', 'an integer'),
        ('val_evaluator.type', 'CocoMetric', 'there is Accuracy'),
        ('val_evaluator', [dict(type='Accuracy'), dict(type='Accuracy')], 'one evaluator'),
        ('val_evaluator', None, 'val_dataloader needs it'),
        ('data_preprocessor.std', [1.0], 'three numbers'),
        ('model.type', 'ImageClasifier', 'ImageClassifier'),
        ('model.backbone.type', 'ResNet', 'hrnet-w18_4xb32_in1k'),
        ('model.backbone.arch', 'w19', "'w18'"),
        ('model.backbone.width', 18, 'arch and width'),
        ('model.head.type', 'LinearHead', 'LinearClsHead'),
        ('model.head.loss.type', 'FocalLoss', 'LabelSmoothLoss'),
        ('model.neck.0.type', 'FPN', 'HRFuseScales'),
        ('model.train_cfg', dict(augments=[dict(type='ResizeMix')]), "'Mixup', 'CutMix'"),
        ('val_dataloader.dataset.type', 'CIFAR10', "'ImageNet', 'CustomDataset'"),
        ('val_dataloader.dataset.pipeline.1.edge_', 'short', "did you mean 'edge'"),
        ('train_dataloader.dataset.pipeline.2.flip_prob', 0.5, 'RandomFlip|prob'),
        ('train_dataloader.dataset.pipeline.2.type', 'Pad', 'does not exist for classification'),
        ('runner', {}, 'OpenMMLab 1 .* has train_cfg.by_epoch|OpenMMLab 1'),
        ('lr_config', {}, 'has param_scheduler'),
        ('train_dataloadr', {}, "did you mean 'train_dataloader'"),
    ],
)
def test_mistakes(config, path, value, message):
    """Each names its place and what to write."""
    with pytest.raises(ConfigError, match=message) as caught:
        lower(change(config, path, value)).check()
    place = re.sub(r'\.\d+', '', path).rsplit('.', 1)[0]
    assert re.sub(r'\[\d+\]', '', str(caught.value)).startswith(place.split('.')[0])


def test_a_repeated_training_set(config):
    plain = config['train_dataloader']['dataset']
    config['train_dataloader']['dataset'] = dict(type='RepeatDataset', times=3, dataset=plain)
    dataset = lower(config).check().train['dataset']
    assert (dataset['type'], dataset['times']) == ('RepeatDataset', 3)
    assert dataset['dataset']['transforms'][0]['type'] == 'RandomResizedCrop'


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_a_classifier_has_the_parameters_of_mmpretrain(reference_dir, name):
    file = reference_dir / f'manifests/tasks/mmpretrain_{name.split("_")[0].replace("-", "_")}.json'
    record = json.loads(file.read_text())
    with torch.device('meta'):
        model = build(lower(load_config(CONFIGS / f'hrnet/{name}.py')).model)
    found = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert found == record['state_dict']
    # Batch norms follow the batch in training, which mmdetection's backbones do not do.
    norms = [m for m in model.train().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(norm.training and norm.weight.requires_grad for norm in norms)


@pytest.mark.parametrize(('number', 'image'), [(0, '000000520707'), (1, '000000349184')])
def test_the_input_of_a_classifier_is_mmpretrains(
    reference_dir, data_dir, config, tmp_path, number, image
):
    """From a file to the tensor that the network sees: the rows and columns that were recorded."""
    (tmp_path / 'a').mkdir()
    (tmp_path / f'a/{image}.jpg').symlink_to(data_dir / f'coco_tiny/val2017/{image}.jpg')
    config['test_dataloader']['dataset'] |= dict(type='CustomDataset', data_root=str(tmp_path))
    del config['test_dataloader']['dataset']['split']
    run = lower(config)
    batch = collate([build(run.test['dataset'])[0]])
    found = build(run.model['preprocess'])(batch)[0].numpy()
    with np.load(reference_dir / 'cls_transforms.npz') as golden:
        # Pixels are equal; the rest is the rounding of one subtraction and one division.
        np.testing.assert_allclose(
            found[:, ::9, ::11], golden[f'img{number}_input_sample'], rtol=0, atol=1e-6
        )
        assert found.mean() == pytest.approx(float(golden[f'img{number}_input_mean']), abs=1e-5)
