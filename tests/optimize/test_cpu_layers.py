"""Faster layers for a CPU: the capability chooses them, and results stay."""

import copy
import os
import subprocess
import sys
import types

import pytest
import torch

from hrdet.models.layers import BasicBlock, Bottleneck
from hrdet.models.necks import HRFPN
from hrdet.ops import cpu
from hrdet.optimize import optimize
from hrdet.optimize.cpu_layers import (
    FastBasicBlock,
    FastBottleneck,
    FastConv2d,
    FastHRFPN,
    WinogradConv2d,
    fast_layers,
)
from tests.models import small_batches as batches
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
    assert {FastBasicBlock, FastBottleneck} <= kinds
    assert not {BasicBlock, Bottleneck} & kinds


def test_norms_that_do_not_fold():
    model, batch = detector('faster', dict(type='GN', num_groups=2)), batches.batch()
    fast = optimize(model)
    assert {BasicBlock, Bottleneck, WinogradConv2d} <= kinds_of(fast)
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
    assert not {FastConv2d, FastHRFPN} & kinds_of(fast)
    assert all(len(found) > 3 for found in fast.predict(batch))
    if dtype is torch.float32:
        assert_same(fast.predict(batch), model.predict(batch))


PREDICT = """
import torch
from hrdet.optimize import optimize
from hrdet.ops import cpu
from tests.models import small_batches as batches
from tests.models.trained_detectors import assert_same, detector

model, batch = detector('faster'), batches.batch(with_truth=False)
assert_same(optimize(model).predict(batch), model.predict(batch))
assert all(len(found) > 3 for found in optimize(model, torch.bfloat16).predict(batch))
print(torch.backends.cpu.get_cpu_capability())
"""


@pytest.mark.parametrize('capability', cpu.available())
def test_detections_with_each_capability(capability, pytestconfig):
    """In a process in which hrdet, torch and oneDNN use no more than it."""
    done = subprocess.run(
        [sys.executable, '-c', PREDICT],
        cwd=pytestconfig.rootpath,
        env=os.environ | {cpu.VARIABLE: capability},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    torch_uses = done.stdout.split()[-1]
    assert torch_uses == {'portable': 'DEFAULT', 'avx2': 'AVX2'}.get(capability, 'AVX512')
