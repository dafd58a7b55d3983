"""Optimizer, learning rate and the other sections about training."""

import math

import pytest
import torch

from hrdet.config import lower
from hrdet.optim import lr_schedule
from hrdet.registry import ConfigError

EPOCH = 7  # iterations in an epoch of these tests


def simulated(config, base_lr=0.3):
    """The factor of the learning rate at every iteration."""
    run = lower(config)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base_lr)
    max_iters = run.training.max_epochs * EPOCH
    schedule = lr_schedule(optimizer, run.training.schedule, EPOCH, max_iters)
    rates = []
    for _ in range(max_iters):
        rates.append(optimizer.param_groups[0]['lr'] / base_lr)
        optimizer.step()
        schedule.step()
    return rates


def warmup_factor(kind, i, iterations, ratio):
    """README.md of the reference data, section 8; mmcv 0.2.8 for the other two."""
    if kind is None or i >= iterations:
        return 1.0
    if kind == 'linear':
        return 1 - (1 - i / iterations) * (1 - ratio)
    return ratio if kind == 'constant' else ratio ** (1 - i / iterations)


POLICIES = [
    (dict(policy='step', step=[8, 11]), lambda e, x: 0.1 ** ((e >= 8) + (e >= 11))),
    (dict(policy='step', step=5, gamma=0.5), lambda e, x: 0.5 ** (e // 5)),
    (dict(policy='exp', gamma=0.9), lambda e, x: 0.9**e),
    (dict(policy='fixed'), lambda e, x: 1.0),
    (dict(policy='cosine'), lambda e, x: (1 + math.cos(math.pi * e / 12)) / 2),
    (
        dict(policy='CosineAnnealing', by_epoch=False),
        lambda e, x: (1 + math.cos(math.pi * x / 12)) / 2,
    ),
]


@pytest.mark.parametrize('warmup', [None, 'linear', 'constant', 'exp'])
@pytest.mark.parametrize(('policy', 'factor'), POLICIES)
def test_schedules_follow_the_formulae(config, warmup, policy, factor):
    """Tolerance: rounding."""
    iterations, ratio = 25, 1 / 3
    warm = dict(warmup=warmup, warmup_iters=iterations, warmup_ratio=ratio) if warmup else {}
    config['lr_config'] = policy | warm
    for i, rate in enumerate(simulated(config)):
        expected = factor(i // EPOCH, i / EPOCH) * warmup_factor(warmup, i, iterations, ratio)
        assert rate == pytest.approx(expected, rel=1e-12), i


@pytest.mark.parametrize('end', [dict(min_lr_ratio=0.1), dict(min_lr=0.03), dict(target_lr=0.03)])
def test_cosine_ends_above_zero(config, end):
    config['lr_config'] = dict(policy='cosine', **end)
    for i, rate in enumerate(simulated(config)):
        curve = (1 + math.cos(math.pi * (i // EPOCH) / 12)) / 2
        assert rate == pytest.approx(0.1 + 0.9 * curve, rel=1e-12), i


def test_the_warmup_of_the_release(config):
    """lr * (1 - (1 - it / 500) * (1 - 1 / 3)) over exactly 500 iterations."""
    config['total_epochs'] = 100
    config['lr_config']['step'] = [80]
    rates = simulated(config)
    for i in range(520):
        expected = 1 - (1 - min(i, 500) / 500) * (1 - 1 / 3)
        assert rates[i] == pytest.approx(expected, rel=1e-11), i  # up to 500 rounded factors


def test_a_milestone_that_never_comes(config):
    config['lr_config']['step'] = [20, 23]
    assert lower(config).warnings == ['lr_config.step: [20, 23] is never reached in 12 epochs']


def test_optimizer(config):
    options = dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
    config['optimizer']['paramwise_options'] = options
    config['optimizer_config'] = dict(grad_clip=dict(max_norm=35), cumulative_iters=4)
    lowered = lower(config)
    assert lowered.training.optimizer == dict(
        type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001, paramwise_cfg=options
    )
    assert lowered.training.grad_clip == dict(max_norm=35, norm_type=2)
    assert lowered.training.accumulate == 4
    config['optimizer_config'] = dict(grad_clip=None)
    assert lower(config).training.grad_clip is None


def test_auto_scale_lr(config):
    assert lower(config).training.auto_scale_lr == dict(enable=True, base_batch_size=16)
    del config['auto_scale_lr']
    lowered = lower(config)
    assert lowered.training.auto_scale_lr['enable'] is False
    assert lowered.warnings[0].startswith('auto_scale_lr: the config does not say how many images')


def test_precision(config):
    assert lower(config).training.amp is None
    assert lower(config | dict(amp='bfloat16')).training.amp == 'bfloat16'
    lowered = lower(config | dict(fp16=dict(loss_scale=512.0)))
    assert lowered.training.amp == 'float16'
    assert lowered.warnings == ['fp16.loss_scale: adapted while training']


def test_what_is_left_out(config):
    needed = ('model', 'train_cfg', 'test_cfg', 'data', 'optimizer', 'total_epochs')
    lowered = lower({key: config[key] for key in needed})
    assert lowered.training.schedule == []
    assert lowered.training.checkpoint == dict(interval=1, max_keep=2)
    assert (lowered.training.log_interval, lowered.training.trackers) == (50, [])
    assert lowered.training.val_interval == 1
    assert lowered.test['evaluator'] == dict(type='CocoMetric', metrics=['bbox'])
    training = lowered.training
    assert (training.accumulate, training.grad_clip, training.ema) == (1, None, None)
    runtime = lowered.runtime
    assert (runtime.seed, runtime.compile, runtime.resume_from) == (None, False, None)


def test_periods(config):
    config |= dict(
        checkpoint_config=dict(interval=2, max_keep_ckpts=3),
        log_config=dict(interval=10, hooks=[dict(type='TensorboardLoggerHook')]),
        evaluation=dict(interval=5, metric=['bbox', 'proposal_fast']),
        ema=dict(momentum=0.01),
    )
    lowered = lower(config)
    assert lowered.training.checkpoint == dict(interval=2, max_keep=3)
    assert lowered.training.log_interval == 10
    assert lowered.training.trackers == [dict(type='TensorBoard')]
    assert lowered.training.val_interval == 5
    assert lowered.val['evaluator']['metrics'] == ['bbox', 'proposal_fast']
    assert lowered.training.ema == dict(momentum=0.01)


def test_a_run_counted_in_iterations(config):
    del config['total_epochs']
    config |= dict(
        total_iters=800,
        lr_config=dict(policy='poly', power=0.9, min_lr=1e-4),
        evaluation=dict(interval=100),
        checkpoint_config={},
    )
    training = lower(config).training
    assert (training.max_epochs, training.max_iters, training.val_interval) == (None, 800, 100)
    assert training.checkpoint == dict(interval=80, max_keep=2), 'ten times, if unsaid'
    assert training.schedule == [
        dict(by_epoch=False, type='PolyLR', power=0.9, eta_min=1e-4, end=800, total_iters=800)
    ]
    config['lr_config'] = dict(policy='step', step=[600, 900])
    run = lower(config)
    assert run.training.schedule[0]['by_epoch'] is False
    assert run.warnings == ['lr_config.step: [900] is never reached in 800 iterations']
    config['lr_config'] = dict(policy='cosine', by_epoch=False)
    assert lower(config).training.schedule == [
        dict(by_epoch=False, T_max=800, type='CosineAnnealingLR', eta_min=0.0, end=800)
    ]
    lower(config).check_trainable()


def test_polynomial_over_epochs(config):
    config['lr_config'] = dict(policy='poly')
    (factor,) = lower(config).training.schedule
    expected = dict(by_epoch=True, type='PolyLR', power=1.0, eta_min=0.0, end=12, total_iters=12)
    assert factor == expected


def test_hooks_trackers_and_early_stopping(config):
    config |= dict(
        custom_hooks=[dict(type='MyHook', period=3)],
        trackers=[dict(type='WandB', project='cells')],
        log_config=dict(
            hooks=[
                dict(type='TextLoggerHook'),
                dict(type='MlflowLoggerHook', exp_name='a'),
                dict(type='TensorboardLoggerHook'),
            ]
        ),
        early_stopping=dict(patience=3, metric='bbox_AP', min_delta=0.001),
        checkpoint_config=dict(interval=2, interval_minutes=5),
    )
    training = lower(config).training
    assert training.hooks == [dict(type='MyHook', period=3)]
    assert training.hooks[0].path == 'custom_hooks[0]'
    assert training.trackers == [
        dict(type='MLflow', exp_name='a'),
        dict(type='TensorBoard'),
        dict(type='WandB', project='cells'),
    ]
    assert training.early_stopping == dict(patience=3, metric='bbox_AP', min_delta=0.001)
    assert training.checkpoint == dict(interval=2, max_keep=2, interval_minutes=5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(total_iters=5), r'total_iters: total_epochs is given too'),
        (dict(total_epochs=None, total_iters=0), r'total_iters: 0 is not an integer'),
        (
            dict(total_epochs=None, total_iters=9, lr_config=dict(policy='exp', by_epoch=True)),
            r'lr_config\.by_epoch: total_iters counts iterations',
        ),
        (dict(lr_config=dict(policy='fixed', by_epoch='no')), r"by_epoch: 'no' is not one of True"),
        (dict(custom_hooks=dict(type='A')), r'custom_hooks: must be a list'),
        (dict(custom_hooks=[dict(a=1)]), r'custom_hooks\[0\]\.type: this key is required'),
        (
            dict(trackers=['WandB']),
            r'trackers\[0\]: must be a dict with a type',
        ),
        (dict(early_stopping={}), r'early_stopping\.patience: this key is required'),
        (dict(early_stopping=dict(patience=0)), r'early_stopping\.patience: 0 is not an integer'),
        (dict(early_stopping=dict(patience=1, min_delta=-1)), r'min_delta: -1 is not a number'),
        (dict(early_stopping=dict(patience=1, metric=3)), r'metric: 3 is not a string or None'),
        (dict(checkpoint_config=dict(max_keep_ckpts=0)), r'max_keep_ckpts: 0 is not an integer'),
        (dict(checkpoint_config=dict(interval_minutes=0)), r'interval_minutes: 0 is not a pos'),
        (
            dict(optimizer=dict(type='SGD', lr=float('nan'))),
            r'optimizer\.lr: nan is not a pos',
        ),
        (
            dict(optimizer=dict(type='SGD', lr=float('inf'))),
            r'optimizer\.lr: inf is not a pos',
        ),
        (dict(optimizer_config=dict(grad_clip=dict(max_norm=1, norm_type=0))), r'norm_type: 0 is'),
        (
            dict(auto_scale_lr=dict(enable='x', base_batch_size=1)),
            r"enable: 'x' is not one of True",
        ),
        (dict(evaluation=dict(interval=0)), r'evaluation\.interval: 0 is not an integer'),
        (dict(work_dir=3), r'work_dir: 3 is not a string or None'),
        (dict(resume_from=''), r"resume_from: '' is not the name of a file"),
        (dict(log_config=[]), r'log_config: \[\] is not a dict'),
        (dict(optimizer=dict(lr=0.1)), r'optimizer\.type: this key is required'),
        (dict(optimizer=dict(type='SGD', lr='0.1')), r"optimizer\.lr: '0\.1' is not a positive"),
        (dict(optimizer_config=dict(clip=1)), r'optimizer_config\.clip: there is no such key'),
        (dict(optimizer_config=dict(grad_clip=35)), r'grad_clip: 35 is not a dict'),
        (dict(lr_config=dict(policy='steps')), r"lr_config\.policy: .*did you mean 'step'"),
        (dict(lr_config=dict(policy='step')), r'lr_config\.step: this key is required'),
        (dict(lr_config=dict(policy='step', step=[0])), r'lr_config\.step\[0\]: 0 is not an int'),
        (dict(lr_config=dict(policy='cosine', gamma=1)), r"gamma: the policy 'cosine' has no use"),
        (
            dict(lr_config=dict(policy='cosine', min_lr=1, target_lr=1)),
            r'lr_config: min_lr and target_lr say the same',
        ),
        (dict(lr_config=dict(policy='cosine'), total_epochs=None), r'total_epochs: lr_config'),
        (dict(lr_config=dict(policy='fixed', warmup='liner')), r"warmup: .*did you mean 'linear'"),
        (dict(lr_config=dict(policy='fixed', warmup='linear')), r'lr_config\.warmup_iters: 0 is'),
        (
            dict(lr_config=dict(policy='fixed', warmup='exp', warmup_iters=9, warmup_ratio=0)),
            r'lr_config\.warmup_ratio: 0 is not in \(0, 1\]',
        ),
        (dict(total_epochs=0), r'total_epochs: 0 is not an integer'),
        (dict(evaluation=dict(metric='bobx')), r"evaluation\.metric: .*did you mean 'bbox'"),
        (dict(log_config=dict(hooks=[dict(type='X')])), r'log_config\.hooks\[0\]\.type: '),
        (dict(workflow=[('train', 1), ('val', 1)]), r'workflow: only '),
        (dict(log_level='info'), r"log_level: 'info' is not one of"),
        (dict(amp='fp16'), r"amp: 'fp16' is not one of 'float16', 'bfloat16'"),
        (dict(amp='float16', fp16={}), r'fp16: amp gives the precision already'),
        (dict(ema=dict(momentum=1)), r'ema\.momentum: 1 is not a number between 0 and 1'),
        (dict(auto_scale_lr=dict(enable=True)), r'auto_scale_lr\.base_batch_size: this key'),
        (dict(compile='yes'), r"compile: 'yes' is not one of True, False"),
        (dict(seed=-1), r'seed: -1 is not an integer of 0 or more'),
    ],
)
def test_mistakes(config, change, message):
    with pytest.raises(ConfigError, match=message):
        lower(config | change)
