"""Batch norm over two processes, against its equations over all values in float64."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hrdet.models.backbones import HRNet
from hrdet.models.layers import SyncBatchNorm
from hrdet.models.layers.sync_norm import JointNorm, _own_statistics
from tests import forked
from tests.models.backbones.test_hrnet import tiny_extra
from tests.no_sync import NoSync

# Images (N, h, w) of the two processes.
CASES = {
    'equal': [(2, 9, 8), (2, 9, 8)],
    'other numbers and sizes': [(1, 9, 8), (3, 12, 7)],
    'none on one side': [(2, 9, 8), (0, 9, 8)],
    'one value': [(0, 5, 5), (1, 5, 5)],
}


def layers(norm):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), norm(5), nn.ReLU(), nn.Conv2d(5, 4, 3), norm(4))
    for module in net:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.train()


def shares(case):
    # Far from zero, where E[x^2] - E[x]^2 would lose digits in float32.
    generator = torch.Generator().manual_seed(1)
    return [30 + torch.randn(n, 3, h, w, generator=generator) for n, h, w in CASES[case]]


def pull(y):
    """What the gradient comes from: neither constant nor a multiple of ``y``."""
    return (y.sin() * torch.linspace(0.5, 2, y.shape[1])[:, None, None]).sum()


def one_of_two(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    sent, all_reduce = [], dist.all_reduce

    def counted(tensor, *args, **kwargs):
        sent.append(tensor.numel())
        return all_reduce(tensor, *args, **kwargs)

    dist.all_reduce = counted
    told = {}
    for case in CASES:
        x, net = shares(case)[rank].requires_grad_(), layers(SyncBatchNorm)
        sent.clear()
        with NoSync():
            y = net(x)
            pull(y).backward()
        told[case] = [y, x.grad, *(p.grad for p in net.parameters()), *net.buffers()]
        told[f'{case}: sent'] = list(sent)
    layout = {}
    for dtype in (torch.float32, torch.bfloat16):
        for name in ('contiguous_format', 'channels_last'):
            norm, x = SyncBatchNorm(3), (shares('equal')[rank] - 30).to(dtype)
            x = x.contiguous(memory_format=getattr(torch, name)).requires_grad_()
            y = norm(x)
            pull(y).backward()
            layout[dtype, name] = [y, x.grad, y.stride() == x.stride() == x.grad.stride()]
    told['layout'] = list(layout.values())
    norm, x = SyncBatchNorm(3, momentum=None), shares('equal')[rank]
    with NoSync():
        for factor in (1, 2, 6):
            norm(x * factor)
    told['mean of batches'] = list(norm.buffers())
    for with_cp in (False, True):
        torch.manual_seed(0)
        options = dict(extra=tiny_extra(), norm_cfg=dict(type='SyncBN'), norm_eval=False)
        net = DistributedDataParallel(HRNet(**options, with_cp=with_cp).train())
        sent.clear()
        sum(f.square().mean() for f in net(torch.rand(2, 3, 32 + 32 * rank, 64))).backward()
        found = [*(p.grad for p in net.parameters()), *net.buffers()]
        told['with_cp' if with_cp else 'without'] = dict(sent=list(sent), found=found)
        told['norms'] = sum(isinstance(m, SyncBatchNorm) for m in net.modules())
    torch.save(told, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    forked.start(one_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in (0, 1)]


def expected(case):
    """Of both processes: results, gradients of the inputs; then gradients of all, and buffers."""
    net = layers(nn.BatchNorm2d).double()
    inputs = [x.double().requires_grad_() for x in shares(case)]
    parts, buffers = inputs, []
    for module in net:
        if not isinstance(module, nn.BatchNorm2d):
            parts = [module(x) for x in parts]
            continue
        values = torch.cat([x.transpose(0, 1).flatten(1) for x in parts], 1)
        mean, var = values.mean(1), values.var(1, correction=0)
        buffers += [0.1 * mean, 0.9 + 0.1 * values.var(1), torch.tensor(1)]
        gain = (module.weight / (var + module.eps).sqrt())[:, None, None]
        parts = [(x - mean[:, None, None]) * gain + module.bias[:, None, None] for x in parts]
    sum(map(pull, parts)).backward()
    return parts, inputs, [p.grad for p in net.parameters()], buffers


def assert_near(value, reference):
    """Equal to the rounding of float32, in whatever order a processor adds.

    Inputs of 30 are rounded to 2e-6 of their spread of 1, and some hundred are summed: up to 6e-4
    if all rounded alike.  1.1e-4 was seen with AVX2, less with AVX-512.
    """
    scale = max(1, reference.abs().max().item() if reference.numel() else 1)
    torch.testing.assert_close(value.double(), reference.double(), rtol=0, atol=3e-4 * scale)


@pytest.mark.parametrize('case', [c for c in CASES if c != 'one value'])
def test_two_processes_equal_one_on_all_values(told, case):
    parts, inputs, gradients, buffers = expected(case)
    count = len(gradients)
    for report, part, whole in zip(told, parts, inputs):
        assert_near(report[case][0], part)
        assert_near(report[case][1], whole.grad)
    first, second = (report[case][2:] for report in told)
    for one, other, gradient in zip(first[:count], second, gradients):
        assert_near(one + other, gradient)
    for one, other, buffer in zip(first[count:], second[count:], buffers):
        assert torch.equal(one, other)
        assert_near(one, buffer)


def test_a_single_value_is_its_own_mean(told):
    """The second layer sees one value of each channel, and gives its shift."""
    result, buffers = told[1]['one value'][0], told[0]['one value'][-6:]
    torch.testing.assert_close(result.flatten(), layers(nn.BatchNorm2d)[4].bias)
    assert all(torch.isfinite(buffer).all() for buffer in buffers)


@pytest.mark.parametrize('case', CASES)
def test_one_message_forward_and_one_backward(told, case):
    """Of 2C + 1 numbers for each process, and of 2C."""
    for report in told:
        assert report[f'{case}: sent'] == [2 * 11, 2 * 9, 8, 10]


def test_layouts_stay_and_bfloat16_is_normalised_in_float32(told):
    for report in told:
        plain, *others = report['layout']
        assert all(same for *_, same in report['layout'])
        for result, gradient, _ in others:
            if result.dtype == torch.float32:
                torch.testing.assert_close(result, plain[0], rtol=1e-5, atol=1e-5)
                torch.testing.assert_close(gradient, plain[1], rtol=1e-4, atol=1e-5)
            else:  # rounding of the input, of the incoming gradient and of the result: 2^-8 each
                assert result.dtype == gradient.dtype == torch.bfloat16
                torch.testing.assert_close(result.float(), plain[0], rtol=0.01, atol=0.02)
                torch.testing.assert_close(gradient.float(), plain[1], rtol=0.02, atol=0.05)


def test_recomputing_under_ddp_says_nothing_again_and_changes_nothing(told):
    for report in told:
        plain, recomputed = report['without'], report['with_cp']
        assert len(plain['sent']) == 2 * report['norms']
        assert sorted(recomputed['sent']) == sorted(plain['sent'])
        assert all(map(torch.equal, plain['found'], recomputed['found']))


def test_without_momentum_statistics_are_the_mean_of_all_batches(told):
    values = torch.cat(shares('equal')).double().transpose(0, 1).flatten(1)
    for report in told:
        mean, var, count = report['mean of batches']
        assert count == 3
        assert_near(mean, values.mean(1) * (1 + 2 + 6) / 3)
        assert_near(var, values.var(1) * (1 + 4 + 36) / 3)


def test_batch_norm_in_one_process():
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4, 6)
    one, other = SyncBatchNorm(5), nn.BatchNorm2d(5)
    assert torch.equal(one(x), other(x))
    assert torch.equal(one.running_var, other.running_var)
    assert torch.equal(one.eval()(x), other.eval()(x))


@pytest.fixture
def alone(tmp_path):
    """A process group of one: torch's layer would refuse the CPU in it."""
    backend = 'cpu:gloo,cuda:nccl' if torch.cuda.is_available() else 'gloo'
    store = Path(os.fspath(tmp_path), 'store')
    dist.init_process_group(backend, init_method=f'file://{store}', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures('alone')
def test_batch_norm_in_a_group_of_one():
    x = torch.randn(3, 5, 4, 6)
    assert torch.equal(SyncBatchNorm(5)(x), nn.BatchNorm2d(5)(x))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('layout', ['contiguous_format', 'channels_last'])
@pytest.mark.usefixtures('alone')
def test_kernels_on_cuda(dtype, layout):
    """The same as plain operations on the CPU, without waiting for the device."""
    torch.manual_seed(0)
    norm, values = SyncBatchNorm(6), 30 + torch.randn(3, 6, 9, 8)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    found = []
    for device in ('cuda', 'cpu'):
        norm = norm.to(device).requires_grad_()
        norm.zero_grad()
        x = values.to(device, dtype).contiguous(memory_format=getattr(torch, layout))
        x.requires_grad_()
        for mode in ('default', 'error'):  # the first run sets NCCL up
            torch.cuda.set_sync_debug_mode(mode)
            try:
                mean, var, counts = norm.joint_statistics(x)
                inverse = torch.rsqrt(var + norm.eps)
                y = JointNorm.apply(x, norm.weight, norm.bias, mean, inverse, counts)
                y.float().sin().sum().backward()
            finally:
                torch.cuda.set_sync_debug_mode('default')
        found.append([mean, var, y, x.grad, norm.weight.grad.clone(), norm.bias.grad.clone()])
    tolerance = 1e-4 if dtype == torch.float32 else 0.03
    for one, other in zip(*found):
        scale = other.float().abs().max().item()
        torch.testing.assert_close(one.cpu(), other, rtol=tolerance, atol=tolerance * scale)


def test_no_cancellation_far_from_zero():
    """Variance 1 around 1e4: E[x^2] - E[x]^2 would be off by 8 in float32."""
    x = 1e4 + torch.randn(2, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    own = _own_statistics(x, 1e-5)
    reference = x.double().var((0, 2, 3), correction=0)
    torch.testing.assert_close(own[3:6].double(), reference, rtol=1e-3, atol=0)
