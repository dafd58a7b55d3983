"""Parts computed again in backward: any number of times, one within another, compiled."""

import pytest
import torch

from hrdet.models.backbones import HRNet


@pytest.mark.parametrize('norm_eval', [False, True])
def test_a_graph_that_is_kept_takes_several_backwards(norm_eval):
    """The same gradients each time; statistics are learnt once."""
    torch.manual_seed(0)
    net = HRNet(width='18-small', norm_eval=norm_eval, with_cp=True).train()
    loss = sum(f.square().mean() for f in net(torch.rand(2, 3, 64, 64)))
    statistics = {key: value.clone() for key, value in net.named_buffers()}
    first = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(net.parameters()))
    assert all(map(torch.equal, first, second))
    assert all(torch.equal(value, statistics[key]) for key, value in net.named_buffers())
    assert net.bn1.num_batches_tracked == (not norm_eval)
