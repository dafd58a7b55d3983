"""Models that train by Winograd's algorithm against the same models by torch's convolutions."""

import copy

import pytest
import torch

from hrdet.models.layers import BasicBlock
from hrdet.optimize import cpu_layers, fast_training, optimize
from hrdet.optimize.cpu_training import TrainedConv2d
from tests.models import toy_batches, toy_detectors
from tests.models.trained_detectors import assert_same


def gradients(block, x):
    x = x.clone().requires_grad_()
    out = block(x)
    out.square().mean().backward()
    return [out.detach(), x.grad, *(p.grad for p in block.parameters())]


@pytest.mark.parametrize('frozen', [False, True])
def test_a_block(frozen):
    """With the statistics of the batch, and with frozen norms, which are folded."""
    torch.manual_seed(0)
    block = BasicBlock(18, 18, torch.nn.BatchNorm2d).train(not frozen)
    for norm in (block.bn1, block.bn2):
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    fast = copy.deepcopy(block)
    fast_training(fast)
    assert type(fast.conv1) is type(fast.conv2) is TrainedConv2d
    assert fast.state_dict().keys() == block.state_dict().keys()
    x = torch.randn(2, 18, 21, 34)
    for one, other in zip(gradients(fast, x), gradients(block, x), strict=True):
        assert (one - other).abs().max() <= 2e-5 * other.abs().max()  # of two layers and norms


def test_small_maps_mixed_precision_and_other_types_are_torch_s():
    conv = torch.nn.Conv2d(16, 16, 3, padding=1)
    fast = copy.deepcopy(conv)
    fast_training(fast)
    assert type(fast) is TrainedConv2d
    small, large = torch.randn(1, 16, 8, 8), torch.randn(1, 16, 32, 32)
    assert torch.equal(fast(small), conv(small))
    assert not torch.equal(fast(large), conv(large))
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(fast(large), conv(large))
    assert torch.equal(fast.double()(large.double()), conv.double()(large.double()))


def test_other_convolutions_stay_as_they_are():
    options = dict(stride=2), dict(dilation=2), dict(groups=2), dict(padding_mode='reflect')
    for option in options:
        conv = torch.nn.Conv2d(32, 32, 3, **{'padding': 1, **option})
        fast_training(conv)
        assert type(conv) is torch.nn.Conv2d, option


def test_a_trained_model_is_optimized_as_any_other(monkeypatch):
    monkeypatch.setattr(cpu_layers, '_LEAST_CHANNELS', 4)
    model = toy_detectors.detector('faster').eval()
    batch = toy_batches.batch(with_truth=False)
    expected = optimize(model).predict(batch)
    fast_training(model)
    assert any(type(module) is TrainedConv2d for module in model.modules())
    assert_same(optimize(model).predict(batch), expected)
