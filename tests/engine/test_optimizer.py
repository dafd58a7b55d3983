"""Parameter groups, accumulation, clipping and mixed precision against plain torch."""

import pytest
import torch
from torch import nn

from hrdet.engine.optimizer import OptimWrapper, build_optimizer
from hrdet.registry import ConfigError

CPU = torch.device('cpu')


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


def test_accumulated_steps_equal_steps_on_the_mean_loss():
    """Five batches by two: steps on batches 0-1, 2-3 and, at the end of the epoch, 4."""
    batches = torch.randn(5, 6, 3)
    ours, plain = net(), net()
    wrapper = OptimWrapper(
        build_optimizer(ours, dict(type='SGD', lr=0.1, momentum=0.9)),
        CPU,
        accumulate=2,
        clip_grad=dict(max_norm=0.05, norm_type=2),
    )
    wrapper.initialize_count_status(ours, 0, 5)
    for batch in batches:
        wrapper.update_params(ours(batch).square().mean())
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, foreach=False)
    for group in (batches[:2], batches[2:4], batches[4:]):
        reference.zero_grad()
        torch.stack([plain(batch).square().mean() for batch in group]).mean().backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.05)
        reference.step()
    for a, b in zip(ours.parameters(), plain.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)  # float32, another order of sums


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_fp16_overflow_in_the_first_step_changes_nothing(momentum):
    """torch's fused SGD left its momentum uninitialised there."""
    model = net()
    before = [p.clone() for p in model.parameters()]
    optimizer = build_optimizer(model, dict(type='SGD', lr=0.1, momentum=momentum))
    wrapper = OptimWrapper(optimizer, CPU, amp='float16', clip_grad=dict(max_norm=1.0))
    wrapper.initialize_count_status(model, 0, 9)
    scale = wrapper.scaler.get_scale()
    wrapper.update_params(sum(p.sum() for p in model.parameters()) * 1e38)
    assert wrapper.scaler.get_scale() == scale / 2
    assert all(map(torch.equal, before, model.parameters()))
    wrapper.update_params(sum(p.sum() for p in model.parameters()))
    norm = sum(p.numel() for p in model.parameters()) ** 0.5  # of a gradient of ones
    for a, b in zip(before, model.parameters()):
        torch.testing.assert_close(b, a - 0.1 / norm, rtol=1e-5, atol=1e-6)


def test_bf16_computes_in_bf16_and_keeps_float32_weights():
    model = net()
    wrapper = OptimWrapper(build_optimizer(model, dict(type='AdamW', lr=0.1)), CPU, amp='bfloat16')
    wrapper.initialize_count_status(model, 0, 9)
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 3))
    assert out.dtype is torch.bfloat16
    wrapper.update_params(out.float().square().mean())
    assert all(p.dtype is torch.float32 for p in model.parameters())
