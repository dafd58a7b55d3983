"""OpenMMLab 1: its sections of training and data, and the segmentors of mmsegmentation 0.x."""

import json

import pytest

import hrdet.data
import hrdet.evaluation
import hrdet.models  # noqa: F401  all register their types
from hrdet.config import load_config, lower, lowered_text
from hrdet.registry import ConfigError
from tests.config.published import CONFIGS, MMSEG, equal, recorded_configs, with_defaults

UNSCALED = 'auto_scale_lr: the config does not say'


@pytest.fixture
def config() -> dict:
    return load_config(CONFIGS / 'hrnet/fcn_hr18_512x1024_40k_cityscapes.py').to_dict()


@pytest.fixture(scope='module')
def published(reference_dir) -> dict:
    return recorded_configs(reference_dir, 'mmseg0_configs')


def test_the_published_configs_are_known(published, reference_dir):
    assert set(published) == set(MMSEG)
    table = json.loads((reference_dir / 'manifests/tasks/seg_zoo.json').read_text())
    assert {row['config'] for row in table} <= set(MMSEG)


@pytest.mark.parametrize('name', MMSEG)
def test_a_published_config_means_what_the_shipped_one_means(published, name):
    theirs, ours = lower(published[name]).check(), lower(load_config(CONFIGS / f'hrnet/{name}.py'))
    # The page says the number of GPUs, which the learning rate is meant for, and not the config.
    assert theirs.training.auto_scale_lr == dict(enable=False, base_batch_size=None)
    ours.training.auto_scale_lr = theirs.training.auto_scale_lr
    ours.runtime.work_dir = theirs.runtime.work_dir
    assert lowered_text(theirs) == lowered_text(ours)
    notes = [text for text in theirs.warnings if not text.startswith(UNSCALED)]
    if name in ('fcn_hr18s_512x512_80k_loveda', 'fcn_hr48_512x512_80k_loveda'):
        # They inherit the weights of W18 in the earlier place.
        assert notes.pop().startswith("model.backbone.init_cfg: training starts from 'open-mmlab")
    assert notes == []


CLASSIFIERS = [f'hrnet-w{width}_4xb32_in1k' for width in (18, 30, 32, 40, 44, 48, 64)]


def test_the_published_classifiers_are_known(reference_dir):
    assert set(recorded_configs(reference_dir, 'mmcls0_configs')) == set(CLASSIFIERS)


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_a_published_classifier_means_what_the_shipped_one_means(reference_dir, name):
    theirs = lower(recorded_configs(reference_dir, 'mmcls0_configs')[name]).check()
    ours = lower(load_config(CONFIGS / f'hrnet/{name}.py')).check()
    assert with_defaults(theirs.model) == with_defaults(ours.model)
    for old, new in zip(theirs.splits(), ours.splits(), strict=True):
        assert (old['batch_size'], old.get('evaluator')) == (32, new.get('evaluator'))
        folders, layout = old['dataset'], new['dataset']
        ours_in_full, theirs_in_full = (with_defaults(d['transforms']) for d in (layout, folders))
        assert equal(ours_in_full, theirs_in_full)
        # mmpretrain names the layout, and mmcls its folders.
        part = layout['split']
        assert folders['data_prefix'] == f'{layout["data_root"]}/{part}'
        expected = None if part == 'train' else f'{layout["data_root"]}/meta/{part}.txt'
        assert folders.get('ann_file') == expected
    for run in (theirs, ours):
        run.training.auto_scale_lr = None
        for factor in run.training.schedule:
            factor['begin'] = 0
    assert theirs.training == ours.training


def test_training_of_a_published_config(config):
    run = lower(config)
    assert run.training.optimizer == dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
    assert run.training.schedule == [
        dict(by_epoch=False, type='PolyLR', power=0.9, eta_min=1e-4, end=40000, total_iters=40000)
    ]
    assert (run.training.max_epochs, run.training.max_iters) == (None, 40000)
    assert (run.training.val_interval, run.training.checkpoint['interval']) == (4000, 4000)
    assert run.runtime.cudnn_benchmark
    assert run.runtime.pretrained == 'open-mmlab://msra/hrnetv2_w18'


def test_the_lowered_config_means_the_same(config, tmp_path):
    run = lower(config)
    (tmp_path / 'lowered.py').write_text(lowered_text(run))
    assert lower(load_config(tmp_path / 'lowered.py')) == run


def test_loaders(config):
    config['data'] |= dict(
        train_dataloader=dict(samples_per_gpu=3, shuffle=True),
        test_dataloader=dict(samples_per_gpu=5, workers_per_gpu=0, persistent_workers=True),
    )
    config['data']['val']['samples_per_gpu'] = 7
    del config['data']['samples_per_gpu']
    run = lower(config)
    sizes = [(split['batch_size'], split['num_workers']) for split in run.splits()]
    assert sizes == [(3, 2), (7, 2), (5, 0)]


def test_epochs(config):
    config |= dict(
        runner=dict(type='EpochBasedRunner', max_epochs=30),
        lr_config=dict(policy='step', step=[20], warmup='linear', warmup_iters=5),
        checkpoint_config=dict(interval=2, max_keep_ckpts=3),
        evaluation=dict(interval=5, by_epoch=True),
    )
    training = lower(config).training
    assert (training.max_epochs, training.max_iters, training.val_interval) == (30, None, 5)
    assert training.checkpoint == dict(interval=2, max_keep=3)
    assert training.schedule[1]['milestones'] == [20]
    config['evaluation'] = dict(interval=5, by_epoch=False)
    with pytest.raises(ConfigError, match=r'evaluation\.by_epoch: the run is counted in epochs'):
        lower(config)


def test_earlier_places(config):
    """total_iters instead of runner; train_cfg and test_cfg at the top."""
    modern = lowered_text(lower(config))
    del config['runner']
    config['total_iters'] = 40000
    for name in ('train_cfg', 'test_cfg'):
        config[name] = config['model'].pop(name)
    assert lowered_text(lower(config)) == modern


def test_hooks(config):
    config |= dict(
        custom_hooks=[
            dict(type='NumClassCheckHook'),
            dict(type='EMAHook', momentum=0.001),
            dict(type='MyHook', every=3),
        ],
        log_config=dict(
            interval=7,
            hooks=[
                dict(type='TextLoggerHook', by_epoch=False),
                dict(type='TensorboardLoggerHook', by_epoch=False),
            ],
        ),
        opencv_num_threads=0,
        mp_start_method='spawn',
    )
    run = lower(config)
    assert run.training.ema == dict(momentum=0.001)
    assert run.training.hooks == [dict(type='MyHook', every=3)]
    assert run.training.trackers == [dict(type='TensorBoard')]
    assert run.training.log_interval == 7
    assert run.warnings == ["mp_start_method: has no effect here: workers start in torch's way"]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(runer=dict()), r"runer: there is no such key; did you mean 'runner'"),
        (dict(total_iters=3), 'runner: total_epochs or total_iters say it too'),
        (
            dict(runner=dict(type='IterBasedRunner', max_epochs=3)),
            r'runner\.max_epochs: IterBasedRunner takes max_iters',
        ),
        (
            dict(data=dict(sample_per_gpu=3)),
            r"data\.sample_per_gpu: .*did you mean 'samples_per_gpu'",
        ),
        (dict(evaluation=dict(metric='mAP')), r"evaluation\.metric: 'mAP' is not one of 'mIoU'"),
        (dict(evaluation=dict(intervall=3)), r'evaluation\.intervall: there is no such key'),
        (dict(optim_wrapper=dict()), 'optim_wrapper: a key of OpenMMLab 2'),
        (dict(data=dict(imgs_per_gpu=3)), r'data\.imgs_per_gpu: a key of the 2019 language'),
        (dict(data=dict(test='')), r"data\.test: must be a dict with a type, not ''"),
        (dict(data=dict(img_scale=[])), r'data\.img_scale: there is no such key'),
        (dict(test_cfg=dict(mode='whole')), r'test_cfg: model\.test_cfg is there too'),
        (dict(workflow=[('train', 1), ('val', 1)]), 'workflow: only'),
    ],
)
def test_mistakes(config, change, message):
    for key, value in change.items():
        both = isinstance(config.get(key), dict) and key in ('data', 'evaluation')
        config[key] = config[key] | value if both else value
    with pytest.raises(ConfigError, match=message):
        lower(config)


def test_the_best_checkpoint_is_that_of_the_first_metric(config):
    config['evaluation'] |= dict(save_best='mIoU', metric=['mIoU', 'mDice'])
    assert lower(config).warnings == []
    config['evaluation']['save_best'] = 'mDice'
    (text,) = lower(config).warnings
    assert text.endswith("the best checkpoint is that of the first metric, 'mIoU'")


def test_classes_that_the_means_leave_out(config):
    """Written beside the metric; a name that is no class is an error of the evaluator."""
    config['evaluation'] |= dict(metric=['mIoU'], left_out=['car'])
    run = lower(config).check()
    assert run.val['evaluator']['left_out'] == run.test['evaluator']['left_out'] == ['car']


def test_test_time_augmentation_multiplies_the_scale_of_the_test(config):
    """12 views: each ratio of (2048, 1024), and its mirror image."""
    run = lower(config)
    plain = run.test['dataset']['transforms']
    text = run.use_tta()
    assert text == (
        '12 views of each image: 0.5, 0.75, 1, 1.25, 1.5, 1.75 times the scale '
        '(2048, 1024) of the test, as in mmsegmentation 0.x; each plain and mirrored'
    )
    (node,) = run.test['dataset']['transforms']
    scales = [view[0]['scales'][0] for view in node['views']]
    widths = (1024, 1536, 2048, 2560, 3072, 3584)
    assert scales == [(width, width // 2) for width in widths for _ in range(2)]
    assert [len(view) for view in node['views']] == [1, 2] * 6
    assert equal([node['views'][4]], [plain])
    assert node['views'][5][1] == dict(type='RandomFlip', ratio=1)


def test_views_in_the_pipeline_itself(config):
    steps = config['data']['test']['pipeline'][1]
    steps |= dict(img_ratios=[0.5, 1.0], flip=True)
    run = lower(config)
    (views,) = run.test['dataset']['transforms']
    assert len(views['views']) == 4
    assert run.use_tta().startswith('12 views'), 'as --aug-test does'
    steps |= dict(img_scale=[(64, 32), (32, 16)], img_ratios=None, flip=False)
    run = lower(config)
    assert len(run.test['dataset']['transforms'][0]['views']) == 2
    assert 'tta' not in run.test
