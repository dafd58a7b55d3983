"""Optimizer, learning rate and the other sections about training."""

import math

import mmengine.optim  # noqa: F401  fills the registry below
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from hrdet.config import lower
from hrdet.registry import ConfigError

EPOCH = 7  # iterations in an epoch of these tests


def simulated(config, base_lr=0.3):
    """The learning rate of every iteration, from mmengine's schedulers on a torch optimizer."""
    lowered = lower(config)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base_lr)
    about = dict(optimizer=optimizer, epoch_length=EPOCH)
    schedulers = [PARAM_SCHEDULERS.build(dict(s), default_args=about) for s in lowered.schedule]
    rates = []
    for i in range(lowered.max_epochs * EPOCH):
        rates.append(optimizer.param_groups[0]['lr'] / base_lr)
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or (i + 1) % EPOCH == 0:
                scheduler.step()
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
    """Tolerance: the schedulers multiply up to 84 rounded factors."""
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
    assert lowered.optimizer == dict(
        type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001, paramwise_cfg=options
    )
    assert lowered.grad_clip == dict(max_norm=35, norm_type=2)
    assert lowered.accumulate == 4
    config['optimizer_config'] = dict(grad_clip=None)
    assert lower(config).grad_clip is None


def test_auto_scale_lr(config):
    assert lower(config).auto_scale_lr == dict(enable=True, base_batch_size=16)
    del config['auto_scale_lr']
    lowered = lower(config)
    assert lowered.auto_scale_lr['enable'] is False
    assert lowered.warnings[0].startswith('auto_scale_lr: the config does not say how many images')


def test_precision(config):
    assert lower(config).amp is None
    assert lower(config | dict(amp='bfloat16')).amp == 'bfloat16'
    lowered = lower(config | dict(fp16=dict(loss_scale=512.0)))
    assert lowered.amp == 'float16'
    assert lowered.warnings == ['fp16.loss_scale: adapted while training']


def test_what_is_left_out(config):
    needed = ('model', 'train_cfg', 'test_cfg', 'data', 'optimizer', 'total_epochs')
    lowered = lower({key: config[key] for key in needed})
    assert lowered.schedule == []
    assert lowered.checkpoint == dict(interval=1, max_keep=-1)
    assert lowered.log == dict(interval=50, tensorboard=False)
    assert lowered.evaluation == dict(interval=1, metrics=['bbox'])
    assert (lowered.accumulate, lowered.grad_clip, lowered.ema) == (1, None, None)
    assert (lowered.seed, lowered.compile, lowered.resume_from) == (None, False, None)


def test_periods(config):
    config |= dict(
        checkpoint_config=dict(interval=2, max_keep_ckpts=3),
        log_config=dict(interval=10, hooks=[dict(type='TensorboardLoggerHook')]),
        evaluation=dict(interval=5, metric=['bbox', 'proposal_fast']),
        ema=dict(momentum=0.01),
    )
    lowered = lower(config)
    assert lowered.checkpoint == dict(interval=2, max_keep=3)
    assert lowered.log == dict(interval=10, tensorboard=True)
    assert lowered.evaluation == dict(interval=5, metrics=['bbox', 'proposal_fast'])
    assert lowered.ema == dict(momentum=0.01)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(optimizer=dict(lr=0.1)), r'optimizer\.type: this key is needed'),
        (dict(optimizer=dict(type='SGD', lr='0.1')), r"optimizer\.lr: '0\.1' is not a positive"),
        (dict(optimizer_config=dict(clip=1)), r'optimizer_config\.clip: there is no such key'),
        (dict(optimizer_config=dict(grad_clip=35)), r'grad_clip: a dict is wanted here, not 35'),
        (dict(lr_config=dict(policy='steps')), r"lr_config\.policy: .*did you mean 'step'"),
        (dict(lr_config=dict(policy='step')), r'lr_config\.step: None is not an integer'),
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
        (dict(amp='fp16'), r"amp: 'fp16' is not one of None, 'float16'"),
        (dict(amp='float16', fp16={}), r'fp16: amp gives the precision already'),
        (dict(ema=dict(momentum=1)), r'ema\.momentum: 1 is not in \(0, 1\)'),
        (dict(auto_scale_lr=dict(enable=True)), r'auto_scale_lr\.base_batch_size: this key'),
        (dict(compile='yes'), r"compile: 'yes' is not one of True, False"),
        (dict(seed=-1), r'seed: -1 is not an integer of 0 or more'),
    ],
)
def test_mistakes(config, change, message):
    with pytest.raises(ConfigError, match=message):
        lower(config | change)
