"""Training classifiers and segmentors with the switches of speed, memory and processes."""

import pytest
import torch

from hrdet.engine.trainer import TrainStep
from hrdet.models.base import total_loss
from hrdet.optim import build_optimizer
from tests import forked
from tests.engine import workers
from tests.models.toy_tasks import CONFIGS, batch_of, model_of

CPU = torch.device('cpu')


def loss_and_gradient(model, batch):
    loss = total_loss(model.train()(batch))
    loss.backward()
    return loss.detach(), model.backbone.conv1.weight.grad


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize('task', CONFIGS)
@pytest.mark.parametrize(
    'switch',
    [
        dict(with_cp=True),
        dict(channels_last=False),
        dict(compile=dict(backend='eager')),
    ],
    ids=lambda switch: next(iter(switch)),
)
def test_switches_that_change_nothing(task, switch):
    """Loss and gradient are the same; float32 sums in another order."""
    batch = batch_of(task)
    loss, gradient = loss_and_gradient(model_of(task, small=True), batch)
    found, slope = loss_and_gradient(model_of(task, small=True, **switch), batch)
    assert found.item() == pytest.approx(loss.item(), rel=1e-4)
    assert (slope - gradient).norm() < 1e-2 * gradient.norm()


@pytest.mark.parametrize('task', CONFIGS)
def test_a_step_in_mixed_precision_and_the_averaged_weights(task):
    model, batch = model_of(task, small=True), batch_of(task)
    exact = total_loss(model.train()(batch)).item()
    model = model_of(task, small=True).train()
    before = weights_of(model)
    optimizer = build_optimizer(model, dict(type='AdamW', lr=0.001))
    options = dict(amp='bfloat16', ema=dict(momentum=0.1), grad_clip=dict(max_norm=10))
    step = TrainStep(model, optimizer, CPU, **options)
    assert step(batch)['loss'].item() == pytest.approx(exact, rel=0.05)
    after = weights_of(model)
    with step.ema.swapped():
        average = weights_of(model)
    moved = 0
    for name, value in after.items():
        if value.is_floating_point():
            # The first weight of the average is 10 / 11.
            torch.testing.assert_close(average[name], before[name].lerp(value, 10 / 11))
            moved += not torch.equal(value, before[name])
        assert torch.equal(model.state_dict()[name], value)  # swapped back
    assert moved == sum(value.is_floating_point() for value in after.values())


@pytest.fixture(scope='module')
def of_processes(tmp_path_factory):
    """Weights after a step of two processes with an image each: those of each task and process."""
    folder = tmp_path_factory.mktemp('ddp')
    forked.launched(2, workers.step_of_tasks, str(folder))
    return lambda task: [torch.load(folder / f'{task}_{rank}.pth') for rank in (0, 1)]


@pytest.mark.parametrize('task', CONFIGS)
def test_two_processes_take_the_step_of_one(of_processes, task):
    """Classifiers have batch norms of each process, segmentors of all images."""
    first, second = of_processes(task)
    model = model_of(task, small=True).train()
    parameters = [name for name, _ in model.named_parameters()]
    parts = [batch_of(task)] if task == 'segmentation' else [batch_of(task, [i]) for i in (0, 1)]
    optimizer = build_optimizer(model, workers.SGD)
    step = TrainStep(model, optimizer, CPU)
    before = weights_of(model)
    for number, batch in enumerate(parts, 1):
        step(batch, len(parts), update=number == len(parts))
    after = weights_of(model)
    for name in parameters:
        assert torch.equal(first[name], second[name]), name
    # As one vector: what a bias adds before a norm, the norm takes away, and leaves only rounding.
    expected, found = (
        torch.cat([(weights[name] - before[name]).flatten() for name in parameters])
        for weights in (after, first)
    )
    assert (found - expected).norm() < 1e-3 * expected.norm()
