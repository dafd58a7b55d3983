"""Learning rates of schedules against their formulae, at the iterations of a run."""

import math
import re

import numpy as np
import pytest
import torch

from hrdet.optim import lr_schedule, shorten_warm_up
from hrdet.registry import ConfigError

EPOCH, EPOCHS, BASE = 5, 8, 0.4


def rates(*nodes, iteration=0, base=BASE):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    schedule = lr_schedule(optimizer, nodes, EPOCH, EPOCH * EPOCHS, iteration)
    found = []
    for _ in range(iteration, EPOCH * EPOCHS):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    return found


ITERATIONS = dict(by_epoch=False)
CASES = {
    'linear': (
        dict(type='LinearLR', start_factor=0.1, end=11, **ITERATIONS),
        lambda i: 0.1 + 0.9 * min(i / 10, 1),
    ),
    'linear, later': (
        dict(type='LinearLR', start_factor=0.1, begin=4, end=9, **ITERATIONS),
        lambda i: 1 if i < 4 else 0.1 + 0.9 * min((i - 4) / 4, 1),
    ),
    'constant': (
        dict(type='ConstantLR', factor=0.5, end=11, **ITERATIONS),
        lambda i: 0.5 if i < 10 else 1,
    ),
    'constant for ever': (dict(type='ConstantLR', factor=0.5), lambda i: 0.5),
    'step': (dict(type='StepLR', step_size=3, gamma=0.5), lambda i: 0.5 ** (i // EPOCH // 3)),
    'milestones': (
        dict(type='MultiStepLR', milestones=[2, 6], gamma=0.1),
        lambda i: 0.1 ** ((i // EPOCH >= 2) + (i // EPOCH >= 6)),
    ),
    'milestones in iterations': (
        dict(type='MultiStepLR', milestones=[7, 30], gamma=0.1, **ITERATIONS),
        lambda i: 0.1 ** ((i >= 7) + (i >= 30)),
    ),
    'exponential': (
        dict(type='ExponentialLR', gamma=0.9, end=9, **ITERATIONS),
        lambda i: 0.9 ** min(i, 8),
    ),
    'cosine': (
        dict(type='CosineAnnealingLR', T_max=EPOCHS, eta_min=0.04),
        lambda i: 0.1 + 0.9 * (1 + math.cos(math.pi * (i // EPOCH) / EPOCHS)) / 2,
    ),
    'cosine, every iteration': (
        dict(type='CosineAnnealingLR', T_max=EPOCHS, eta_min_ratio=0.1, convert_to_iter_based=True),
        lambda i: 0.1 + 0.9 * (1 + math.cos(math.pi * i / EPOCH / EPOCHS)) / 2,
    ),
    'poly': (
        dict(type='PolyLR', power=0.9, eta_min=1e-4, **ITERATIONS),
        lambda i: 1e-4 / BASE + (1 - 1e-4 / BASE) * (1 - i / 39) ** 0.9,
    ),
    'poly, to the end of the run': (
        dict(type='PolyLR', power=0.9, eta_min=1e-4, total_iters=40, **ITERATIONS),
        lambda i: 1e-4 / BASE + (1 - 1e-4 / BASE) * (1 - i / 40) ** 0.9,
    ),
    'poly, every iteration': (
        dict(type='PolyLR', total_iters=EPOCHS, end=EPOCHS, convert_to_iter_based=True),
        lambda i: 1 - i / 40,
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_rates_follow_the_formula(name):
    node, factor = CASES[name]
    assert rates(node) == pytest.approx([BASE * factor(i) for i in range(40)], rel=1e-12)


@pytest.mark.parametrize('iteration', [1, 17, 39])
def test_a_schedule_needs_to_know_the_iteration_only(iteration):
    nodes = [node for node, _ in CASES.values()]
    assert rates(*nodes, iteration=iteration) == rates(*nodes)[iteration:]


def test_factors_multiply_each_other_for_every_group():
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [dict(params=weights[:1]), dict(params=weights[1:], lr=0.04)]
    optimizer = torch.optim.SGD(groups, lr=BASE)
    warmup = dict(type='LinearLR', start_factor=0.5, end=11, **ITERATIONS)
    cosine = dict(type='CosineAnnealingLR', T_max=EPOCHS, eta_min=0.01, by_epoch=True)
    lr_schedule(optimizer, [warmup, cosine], EPOCH, EPOCH * EPOCHS, iteration=15)
    curve = (1 + math.cos(math.pi * 3 / EPOCHS)) / 2
    expected = [0.01 + (base - 0.01) * curve for base in (BASE, 0.04)]
    assert [group['lr'] for group in optimizer.param_groups] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ('node', 'message'),
    [
        (dict(type='MultistepLR'), r"no schedule 'MultistepLR'; did you mean 'MultiStepLR'"),
        (dict(type='StepLR', stepsize=1), r"stepsize: .*did you mean 'step_size'"),
    ],
)
def test_mistakes_are_named(node, message):
    with pytest.raises(ConfigError, match=message):
        rates(node)


@pytest.mark.parametrize('release', [0, 1])
def test_polynomial_schedules_of_both_releases_of_mmsegmentation(reference_dir, release):
    """Of 0.x eta_min comes after the last iteration, of 1.x in it."""
    golden = np.load(reference_dir / 'seg_ops.npz')
    tables = {name: golden[name] for name in golden.files if name.startswith(f'poly{release}_')}
    assert tables
    for name, table in tables.items():
        base, least, length = (float(part) for part in re.findall(r'[a-zT]+([\d.]+)', name)[-3:])
        node = dict(type='PolyLR', power=0.9, eta_min=least, end=int(length), **ITERATIONS)
        node |= dict(total_iters=int(length)) if release == 0 else {}
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=base)
        (factor,) = lr_schedule(optimizer, [node], 1, int(length)).lr_lambdas
        found = [base * factor(int(iteration)) for iteration in table[:, 0]]
        np.testing.assert_allclose(found, table[:, 1], rtol=1e-9)


@pytest.mark.parametrize(
    ('node', 'longest'),
    [
        (dict(type='LinearLR', start_factor=0.1, begin=0, end=500, **ITERATIONS), 8),
        (dict(type='ConstantLR', factor=0.3, end=10, **ITERATIONS), 8),
        (dict(type='LinearLR', start_factor=0.1, end=3), 8),  # epochs of 5
        (dict(type='LinearLR', start_factor=0.1, end=3, convert_to_iter_based=True), 8),
    ],
)
def test_a_warm_up_of_more_than_a_fifth_of_the_run_is_shortened(node, longest):
    decay = dict(type='MultiStepLR', milestones=[6])
    nodes, note = shorten_warm_up([node, decay], EPOCH, EPOCH * EPOCHS)
    assert nodes[1] == decay
    assert (nodes[0]['end'], nodes[0]['by_epoch']) == (longest + 1, False)
    assert f'shortened to {longest}' in note
    assert f'of the run of {EPOCH * EPOCHS}:' in note
    found = rates(*nodes)
    assert found[0] < BASE
    assert found[longest : 6 * EPOCH] == [BASE] * (6 * EPOCH - longest)


@pytest.mark.parametrize(
    'node',
    [
        dict(type='LinearLR', start_factor=0.1, end=9, **ITERATIONS),
        dict(type='LinearLR', start_factor=0.1, begin=10, end=30, **ITERATIONS),
        dict(type='LinearLR', start_factor=1.0, end_factor=0.01),  # a decay
        dict(type='CosineAnnealingLR', T_max=8),
    ],
)
def test_other_schedules_stay_as_they_are(node):
    assert shorten_warm_up([node], EPOCH, EPOCH * EPOCHS) == ([node], None)
