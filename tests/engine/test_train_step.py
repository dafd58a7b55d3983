"""Accumulation, clipping and mixed precision of the training step against plain torch."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hrdet.engine.trainer import TrainStep
from hrdet.optim import build_optimizer

CPU = torch.device('cpu')


class Numbers(SimpleNamespace):
    """A batch of plain numbers."""

    def to(self, device):
        return self


class Net(nn.Module):
    """A few layers; what it minimises is chosen by the test."""

    def __init__(self, objective=lambda out: out.square().mean()) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4), nn.ReLU(), nn.Linear(4, 1))
        self.objective = objective

    def forward(self, batch, mode):
        assert mode == 'loss'
        self.out = self.layers(batch.numbers)
        return {'loss_a': self.objective(self.out)}


def test_accumulated_steps_equal_steps_on_the_mean_loss():
    """Five batches by two: steps on batches 0-1, 2-3 and, at the end of the epoch, 4."""
    batches = torch.randn(5, 6, 3)
    ours, plain = Net(), Net().layers
    optimizer = build_optimizer(ours, dict(type='SGD', lr=0.1, momentum=0.9))
    step = TrainStep(ours, optimizer, CPU, grad_clip=dict(max_norm=0.05, norm_type=2))
    for batch, group, update in zip(batches, (2, 2, 2, 2, 1), (False, True, False, True, True)):
        step(Numbers(numbers=batch), group, update)
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
    model = Net()
    factor = 1e38
    model.objective = lambda out: sum(p.sum() for p in model.parameters()) * factor
    before = [p.clone() for p in model.parameters()]
    optimizer = build_optimizer(model, dict(type='SGD', lr=0.1, momentum=momentum))
    step = TrainStep(model, optimizer, CPU, amp='float16', grad_clip=dict(max_norm=1.0))
    scale = step.scaler.get_scale()
    batch = Numbers(numbers=torch.randn(2, 3))
    step(batch)
    assert step.scaler.get_scale() == scale / 2
    assert all(map(torch.equal, before, model.parameters()))
    factor = 1
    step(batch)
    norm = sum(p.numel() for p in model.parameters()) ** 0.5  # of a gradient of ones
    for a, b in zip(before, model.parameters()):
        torch.testing.assert_close(b, a - 0.1 / norm, rtol=1e-5, atol=1e-6)


def test_bf16_computes_in_bf16_and_keeps_float32_weights():
    model = Net(lambda out: out.float().square().mean())
    optimizer = build_optimizer(model, dict(type='AdamW', lr=0.1))
    before = [p.clone() for p in model.parameters()]
    losses = TrainStep(model, optimizer, CPU, amp='bfloat16')(Numbers(numbers=torch.randn(2, 3)))
    assert model.out.dtype is torch.bfloat16
    assert all(p.dtype is torch.float32 for p in model.parameters())
    assert not any(map(torch.equal, before, model.parameters()))
    assert losses['loss'] == losses['loss_a']
    assert not losses['loss'].requires_grad


def test_an_accuracy_is_reported_and_not_minimised():
    class WithAccuracy(Net):
        def forward(self, batch, mode):
            return super().forward(batch, mode) | {'decode.acc_seg': torch.tensor(50.0)}

    model = WithAccuracy()
    optimizer = build_optimizer(model, dict(type='SGD', lr=0.1))
    values = TrainStep(model, optimizer, CPU)(Numbers(numbers=torch.randn(2, 3)))
    assert values['loss'] == values['loss_a']
    assert values['decode.acc_seg'] == 50
