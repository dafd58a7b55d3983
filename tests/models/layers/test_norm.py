"""Norm layers by name, and SyncBN over two processes against one process on the joint batch."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from hrdet.models.layers import GN, SyncBatchNorm, build_norm, conv_module
from hrdet.registry import ConfigError


def test_kinds():
    norm = build_norm(dict(type='BN', momentum=0.01, eps=1e-3), 6)
    assert (type(norm), norm.num_features) == (nn.BatchNorm2d, 6)
    assert (norm.momentum, norm.eps) == (0.01, 1e-3)
    norm = build_norm(dict(type='SyncBN', requires_grad=False), 6)
    assert type(norm) is SyncBatchNorm
    assert not any(p.requires_grad for p in norm.parameters())
    norm = build_norm(GN(num_groups=3), 6)
    assert (norm.num_groups, norm.num_channels, norm.eps) == (3, 6, 1e-5)


def test_errors():
    with pytest.raises(ConfigError, match="did you mean 'SyncBN'"):
        build_norm(dict(type='SyncBn'), 6)
    with pytest.raises(ConfigError, match=r'norm_cfg\.momentun: BN takes no such .*momentum'):
        build_norm(dict(type='BN', momentun=0.1), 6)
    with pytest.raises(ValueError, match=r'18 channels into num_groups=32 .* 18 would do'):
        build_norm(dict(type='GN', num_groups=32), 18)


def test_conv_module_names_and_order():
    torch.manual_seed(0)
    plain = conv_module(3, 4, 3)
    assert list(plain.state_dict()) == ['conv.weight', 'conv.bias']
    normed = conv_module(3, 4, 3, stride=2, norm_cfg=dict(type='GN', num_groups=2))
    assert list(normed.state_dict()) == ['conv.weight', 'gn.weight', 'gn.bias']
    x = torch.randn(2, 3, 7, 8)
    assert torch.equal(normed(x), normed.gn(normed.conv(x)).relu())
    assert normed(x).shape == (2, 4, 4, 4)
    assert conv_module(3, 4, 1, activation=False)(x).min() < 0


def test_sync_norm_is_batch_norm_in_one_process():
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4, 6)
    one, other = SyncBatchNorm(5), nn.BatchNorm2d(5)
    assert torch.equal(one(x), other(x))
    assert torch.equal(one.running_var, other.running_var)
    assert torch.equal(one.eval()(x), other.eval()(x))


def _two_layers(norm):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), norm(5), nn.ReLU(), nn.Conv2d(5, 4, 3), norm(4))
    for module in net:
        if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.train()


def _joint_batch():
    # Far from zero, so that E[x^2] - E[x]^2 in float32 would lose digits; uneven shares.
    return 30 + torch.randn(5, 3, 9, 8, generator=torch.Generator().manual_seed(1))


def _one_of_two(rank, store, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    x = _joint_batch()[[slice(0, 2), slice(2, 5)][rank]].requires_grad_()
    net = _two_layers(SyncBatchNorm)
    net(x).square().sum().backward()
    for parameter in net.parameters():
        dist.all_reduce(parameter.grad)
    torch.save([x.grad, *(p.grad for p in net.parameters()), *net.buffers()], f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_equal_one_on_the_joint_batch(tmp_path):
    mp.spawn(_one_of_two, (str(tmp_path / 'store'), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in (0, 1))
    x = _joint_batch().requires_grad_()
    net = _two_layers(nn.BatchNorm2d)
    net(x).square().sum().backward()
    torch.testing.assert_close(torch.cat([first[0], second[0]]), x.grad, rtol=1e-3, atol=2e-4)
    expected = [*(p.grad for p in net.parameters()), *net.buffers()]
    for one, other, value in zip(first[1:], second[1:], expected):
        assert torch.equal(one, other)
        # Sums of 5 x 7 x 6 float32 values in another order.
        scale = value.abs().max() if value.is_floating_point() else 1
        assert (one - value).abs().max() <= 1e-4 * scale + 1e-4
