"""Layers that are faster on a CPU: which of them take whose place, and that results stay."""

import copy
import os
import subprocess
import sys
import types

import pytest
import torch

from hrdet.models import optimize
from hrdet.models.layers import BasicBlock, Bottleneck
from hrdet.models.necks import HRFPN
from hrdet.models.optimize_layers import (
    FastBasicBlock,
    FastBottleneck,
    FastConv2d,
    FastHRFPN,
    WinogradConv2d,
    fast_layers,
)
from tests.models import small_batches as batches
from tests.models.trained_detectors import assert_same, detector, kinds_of


def test_matrix_units_for_bfloat16_are_used(monkeypatch):
    """A processor with AMX multiplies bfloat16 faster than Winograd saves."""
    kinds = kinds_of(optimize(detector('faster'), torch.bfloat16))
    assert {WinogradConv2d, FastConv2d} <= kinds
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: {'amx_bf16': True})
    kinds = kinds_of(optimize(detector('faster'), torch.bfloat16))
    assert WinogradConv2d not in kinds
    assert WinogradConv2d in kinds_of(optimize(detector('faster')))


def test_products_of_bfloat16_where_the_processor_has_them(monkeypatch):
    """In layers of many channels only."""
    model = detector('faster')
    capabilities = {}
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities)
    for can in (True, False):
        capabilities['avx512_bf16'] = can
        for dtype in (torch.bfloat16, torch.float32):
            convs = [m for m in optimize(model, dtype).modules() if type(m) is WinogradConv2d]
            half = {m.in_channels for m in convs if m.weight.dtype == torch.bfloat16}
            assert half == ({144} if can and dtype is torch.bfloat16 else set())


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
    change(monkeypatch)
    fast = optimize(model, dtype)
    assert WinogradConv2d in kinds_of(fast)
    assert not {FastConv2d, FastHRFPN} & kinds_of(fast)
    assert all(len(found) > 3 for found in fast.predict(batch))
    if dtype is torch.float32:
        assert_same(fast.predict(batch), model.predict(batch))


OLD_PROCESSOR = """
import torch
from hrdet.models import optimize
from tests.models import small_batches as batches
from tests.models.trained_detectors import detector

fast = optimize(detector('faster'), torch.bfloat16)
assert all(len(found) > 3 for found in fast.predict(batches.batch(with_truth=False)))
"""


def test_bfloat16_on_a_processor_without_it(pytestconfig):
    """oneDNN is told that there is no AVX-512."""
    done = subprocess.run(
        [sys.executable, '-c', OLD_PROCESSOR],
        cwd=pytestconfig.rootpath,
        env=os.environ | {'ONEDNN_MAX_CPU_ISA': 'AVX2'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
