"""Activation checkpointing: several backwards, nested parts, compiled."""

import copy

import pytest
import torch
from torch import nn

from hrdet.models.backbones import HRNet
from hrdet.models.layers import SyncBatchNorm, checkpointed, sync_norm
from tests.models.backbones.test_hrnet import tiny_extra


@pytest.mark.parametrize('norm_eval', [False, True])
def test_a_graph_that_is_kept_takes_several_backwards(norm_eval):
    """The same gradients each time; running statistics count once."""
    torch.manual_seed(0)
    net = HRNet(width='18-small', norm_eval=norm_eval, with_cp=True).train()
    loss = sum(f.square().mean() for f in net(torch.rand(2, 3, 64, 64)))
    statistics = {key: value.clone() for key, value in net.named_buffers()}
    first = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(net.parameters()))
    assert all(map(torch.equal, first, second))
    assert all(torch.equal(value, statistics[key]) for key, value in net.named_buffers())
    assert net.bn1.num_batches_tracked == (not norm_eval)


def test_norms_without_running_statistics_are_recomputed():
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    part, x = nn.Sequential(nn.Conv2d(3, 3, 3), norm), torch.rand(2, 3, 8, 8)
    found = []
    for recompute in (False, True):
        checkpointed(part, x, enabled=recompute).sin().sum().backward()
        found.append([p.grad for p in part.parameters()])
        part.zero_grad()
    assert all(map(torch.equal, *found))


def test_a_part_within_a_part(monkeypatch):
    """Running statistics count once; SyncBN communicates in the first forward only."""

    class Outer(nn.Sequential):
        def forward(self, x):
            for part in self:
                x = checkpointed(part, x, enabled=self.inside)
            return x

    class TwoProcesses:  # of which the other has no images
        is_initialized, get_rank, get_world_size = (lambda v=v: v for v in (True, 0, 2))

        @staticmethod
        def all_reduce(values):
            sent.append(values.dim())

    monkeypatch.setattr(sync_norm, 'dist', TwoProcesses)
    torch.manual_seed(0)
    parts = [nn.Sequential(nn.Conv2d(3, 3, 3), SyncBatchNorm(3), nn.ReLU()) for _ in range(2)]
    net, x, found = Outer(*parts), torch.rand(2, 3, 16, 16), []
    for inside, outside in [(False, False), (True, False), (False, True), (True, True)]:
        one, sent = copy.deepcopy(net), []
        one.inside = inside
        checkpointed(one, x, enabled=outside).sin().sum().backward()
        assert sorted(sent) == [1, 1, 2, 2], 'one all-reduce of each norm forward, one backward'
        found.append([*(p.grad for p in one.parameters()), *one.buffers()])
        assert one[0][1].statistics_source is None
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))


@pytest.mark.parametrize('training', [False, True])
def test_a_backbone_with_recomputed_parts_is_compiled_whole(training):
    x, found = torch.rand(1, 3, 64, 64), []
    for compiled in (False, True):
        torch.manual_seed(0)
        net = HRNet(extra=tiny_extra(), with_cp=True).train(training)
        run = torch.compile(net, backend='aot_eager', fullgraph=True) if compiled else net
        sum(f.square().mean() for f in run(x)).backward()
        found.append([p.grad for p in net.parameters()])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other)
