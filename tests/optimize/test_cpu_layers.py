"""Faster layers for a CPU: the capability chooses them, and results stay."""

import copy
import types

import pytest
import torch

from hrdet.models.backbones import HRNet, SyncHighResolutionNet
from hrdet.models.backbones.hrnet import HRModule
from hrdet.models.heads import FCNHead
from hrdet.models.layers import BasicBlock, Bottleneck, ConvNorm
from hrdet.models.necks import HRFPN
from hrdet.ops import cpu
from hrdet.optimize import optimize
from hrdet.optimize.cpu_layers import (
    FastBasicBlock,
    FastBottleneck,
    FastConv2d,
    FastConvNorm,
    FastFCNHead,
    FastHRFPN,
    FastHRModule,
    FastHRNet,
    WinogradConv2d,
    fast_layers,
)
from hrdet.optimize.model import fold_norms
from tests import forked
from tests.models import toy_batches as batches
from tests.models.trained_detectors import assert_same, detector, kinds_of


@pytest.mark.parametrize('capability', cpu.available())
def test_the_capability_chooses_the_convolutions(capability, monkeypatch):
    """AMX multiplies bfloat16 faster than Winograd saves; AVX-512 multiplies pairs."""
    model = detector('faster')
    monkeypatch.setenv(cpu.VARIABLE, capability)
    for dtype in (torch.float32, torch.bfloat16):
        convs = [m for m in optimize(model, dtype).modules() if type(m) is WinogradConv2d]
        direct = dtype is torch.bfloat16 and capability == 'amx'
        assert bool(convs) != direct
        half = {m.in_channels for m in convs if m.weight.dtype == torch.bfloat16}
        pairs = dtype is torch.bfloat16 and capability == 'avx512_bf16'
        assert half == ({144} if pairs else set())


def test_blocks_take_sums_and_relus_where_convolutions_write():
    kinds = kinds_of(optimize(detector('faster')))
    assert {FastBasicBlock, FastBottleneck, FastConvNorm, FastHRModule, FastHRNet} <= kinds
    assert not {BasicBlock, Bottleneck, ConvNorm, HRModule, HRNet} & kinds


def test_norms_that_do_not_fold():
    model, batch = detector('faster', dict(type='GN', num_groups=2)), batches.batch()
    fast = optimize(model)
    assert {BasicBlock, Bottleneck, HRModule, HRNet, WinogradConv2d} <= kinds_of(fast)
    assert_same(fast.predict(batch), model.predict(batch))


@pytest.mark.parametrize('norm_cfg', [None, dict(type='GN', num_groups=2)], ids=['plain', 'GN'])
@pytest.mark.parametrize('branches', [1, 2, 4])
def test_neck(branches, norm_cfg):
    neck = HRFPN([18, 36, 72, 144][:branches], 20, norm_cfg=norm_cfg).eval()
    fast = copy.deepcopy(neck).requires_grad_(False).to(memory_format=torch.channels_last)
    fast_layers(fast, torch.float32)
    assert type(fast) is FastHRFPN
    maps = [
        torch.randn(2, channels, -(-19 // 2**i), -(-30 // 2**i))
        for i, channels in enumerate(neck.in_channels)
    ]
    with torch.no_grad():
        for got, wanted in zip(fast(maps), neck(maps), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('memory_format', [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize('fuse_mode', ['nearest', 'bilinear'])
@pytest.mark.parametrize('kind', [HRNet, SyncHighResolutionNet])
def test_backbone(kind, fuse_mode, memory_format):
    """Against float64, on sizes that the strides divide and do not; images stay as they are."""
    torch.manual_seed(0)
    parts = dict(backbone=kind(width='18-small', fuse_mode=fuse_mode), neck=torch.nn.Identity())
    model = torch.nn.ModuleDict(parts).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    fast = copy.deepcopy(model)
    fold_norms(fast)
    fast = fast.to(memory_format=memory_format)
    fast_layers(fast, torch.float32)
    assert not {HRModule, ConvNorm, kind} & kinds_of(fast)
    exact = copy.deepcopy(model.backbone).double()
    for size in ((64, 96), (67, 101), (33, 200), (1, 1)):
        images = torch.randn(2, 3, *size).contiguous(memory_format=memory_format)
        before = images.clone()
        maps = fast.backbone(images)
        assert torch.equal(images, before)
        for got, wanted in zip(maps, exact(images.double()), strict=True):
            scale = wanted.abs().max()
            torch.testing.assert_close(got.double(), wanted, rtol=0, atol=5e-6 * scale.item())


@pytest.mark.parametrize(
    ('channels', 'dtype', 'tolerance'),
    [(1024, torch.float32, 1e-5), (96, torch.bfloat16, 2e-2)],  # of sums near 1, rounded once
)
@pytest.mark.parametrize('stride', [1, 2])
def test_large_weights_are_packed_once(stride, channels, dtype, tolerance):
    """Inputs of other sizes and copies give the same results."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(channels, channels, 1, stride).requires_grad_(False).to(dtype)
    fast = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    fast_layers(fast, dtype)
    if dtype is torch.bfloat16 and type(fast) is torch.nn.Conv2d:
        pytest.skip('oneDNN has no bfloat16 on this processor')
    assert type(fast) is FastConv2d
    packed = []
    for size in ((1, 7, 7), (3, 14, 9), (1, 40, 33), (1, 7, 7)):
        images = torch.randn(size[0], channels, *size[1:]).to(dtype)
        wanted = copy.deepcopy(layer).double()(images.double())
        for conv in (fast, copy.deepcopy(fast)):
            got = conv(images.contiguous(memory_format=torch.channels_last), relu=True)
            torch.testing.assert_close(got.double(), wanted.relu(), rtol=0, atol=tolerance)
        packed.append(fast._packed)
    assert len(set(map(id, packed))) == 1


@pytest.mark.parametrize('num_convs', [1, 2])
@pytest.mark.parametrize('branches', [1, 4])
def test_fcn_head(branches, num_convs):
    torch.manual_seed(0)
    widths = [18, 36, 72, 144][:branches]
    options = dict(num_convs=num_convs, kernel_size=1, concat_input=False, norm_cfg=None)
    head = FCNHead(5, widths, 40, **options).eval().requires_grad_(False)
    fast = copy.deepcopy(head).to(memory_format=torch.channels_last)
    fast_layers(fast, torch.float32)
    assert type(fast) is FastFCNHead
    for size in ((16, 24), (19, 30)):
        maps = [
            torch.randn(2, width, *(-(-edge // 2**i) for edge in size))
            for i, width in enumerate(widths)
        ]
        torch.testing.assert_close(fast(maps), head(maps), rtol=1e-5, atol=1e-5)


def without_operators(monkeypatch):
    monkeypatch.setattr(torch.ops, 'mkldnn', types.SimpleNamespace())


def with_other_arguments(monkeypatch):
    other = types.SimpleNamespace(_convolution_pointwise=lambda x, weight: x)
    monkeypatch.setattr(torch.ops, 'mkldnn', other)


@pytest.mark.parametrize('change', [without_operators, with_other_arguments])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_torch_without_its_private_operators(change, dtype, monkeypatch):
    model, batch = detector('mask'), batches.batch(with_truth=False)
    monkeypatch.setenv(cpu.VARIABLE, 'portable')  # every processor has it
    change(monkeypatch)
    fast = optimize(model, dtype)
    assert WinogradConv2d in kinds_of(fast)
    assert not {FastConv2d, FastHRFPN, FastHRModule, FastHRNet} & kinds_of(fast)
    assert all(len(found) > 3 for found in fast.predict(batch))
    if dtype is torch.float32:
        assert_same(fast.predict(batch), model.predict(batch))


PREDICT = """
import torch
from hrdet.optimize import optimize
from hrdet.ops import cpu
from tests.models import toy_batches as batches
from tests.models.trained_detectors import assert_same, detector

model, batch = detector('faster'), batches.batch(with_truth=False)
assert_same(optimize(model).predict(batch), model.predict(batch))
assert all(len(found) > 3 for found in optimize(model, torch.bfloat16).predict(batch))
print(torch.backends.cpu.get_cpu_capability())
"""


def test_detections_with_each_capability():
    """In a process in which hrdet, torch and oneDNN use no more than it."""
    names = {'portable': 'DEFAULT', 'avx2': 'AVX2'}
    for capability, torch_uses in forked.with_each_capability(PREDICT).items():
        assert torch_uses == names.get(capability, 'AVX512')
