"""Parameter groups, their settings, and the scaling of the learning rate."""

import pytest
import torch
from torch import nn

from hrdet.optim import build_optimizer, scale_lr
from hrdet.registry import ConfigError


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4), nn.ReLU(), nn.Linear(4, 1))


def test_parameters_of_equal_multipliers_share_a_group():
    model = net()
    model[0].weight.requires_grad_(False)
    optimizer = build_optimizer(
        model,
        dict(
            type='SGD',
            lr=0.1,
            weight_decay=0.01,
            paramwise_cfg=dict(
                norm_decay_mult=0.0,
                bias_lr_mult=2.0,
                bias_decay_mult=0.0,
                custom_keys={'3': dict(lr_mult=0.5), '3.bias': dict(lr_mult=0.25, decay_mult=3.0)},
            ),
        ),
    )
    found = {
        name: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for name, parameter in model.named_parameters()
        if any(parameter is p for p in group['params'])
    }
    assert found == {
        '0.bias': (0.2, 0.0),
        '1.weight': (0.1, 0.0),
        '1.bias': (0.1, 0.0),
        '3.weight': (0.05, 0.01),
        '3.bias': (0.025, 0.03),
    }
    assert sum(len(g['params']) for g in optimizer.param_groups) == 5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(type='SDG', lr=0.1), r"optimizer.type: torch.optim has no 'SDG'; did you mean 'SGD'"),
        (dict(type='SGD', lr=0.1, momentun=0.9), r"optimizer.momentun: .*did you mean 'momentum'"),
        (
            dict(type='SGD', lr=0.1, paramwise_cfg=dict(bias_mult=1)),
            r'optimizer.paramwise_cfg.bias_mult: unknown',
        ),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(net(), options)


@pytest.mark.parametrize(
    ('enable', 'base', 'factor', 'done'),
    [
        (True, 16, 0.25, 'scaled to 0.025'),
        (False, 16, 1.0, 'taken as it is'),
        (True, 4, 1.0, 'taken as it is'),
    ],
)
def test_learning_rate_follows_the_images_of_a_step(enable, base, factor, done):
    optimizer = build_optimizer(net(), dict(type='SGD', lr=0.1))
    settings = dict(enable=enable, base_batch_size=base)
    line = scale_lr(optimizer, 2, 1, 2, settings)
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0.1 * factor)
    assert '2 processes x 1 image x 2 accumulated = 4 images a step' in line
    assert done in line


@pytest.mark.parametrize(
    ('option', 'value'),
    [('weight_decay', -1), ('weight_decay', float('nan')), ('weight_decay', '5'),
     ('momentum', 2), ('lr', 0), ('lr', float('inf'))],
)  # fmt: skip
def test_options_outside_their_range_are_named(option, value):
    options = dict(type='SGD', lr=0.1) | {option: value}
    with pytest.raises(ConfigError, match=rf'optimizer\.{option}: {value!r} is not'):
        build_optimizer(nn.Linear(2, 2), options)
