"""The switch that limits which instructions of the processor are used."""

import os

import pytest
import torch

from hrdet.ops import cpu
from hrdet.registry import ConfigError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Changes to the variables end with the test."""
    for name in (cpu.VARIABLE, 'ATEN_CPU_CAPABILITY', 'ONEDNN_MAX_CPU_ISA'):
        monkeypatch.setenv(name, '')


def test_all_is_used_by_default():
    assert cpu.capability() == cpu.available()[-1]
    cpu.limit()
    assert os.environ['ATEN_CPU_CAPABILITY'] == os.environ['ONEDNN_MAX_CPU_ISA'] == ''


@pytest.mark.parametrize('name', cpu.available())
def test_a_capability_is_honoured(name, monkeypatch):
    """By hrdet, and by torch and oneDNN, under their own names."""
    monkeypatch.setenv(cpu.VARIABLE, name)
    assert cpu.capability() == name
    cpu.limit()
    assert os.environ['ATEN_CPU_CAPABILITY'] in ('default', name, 'avx512')
    assert os.environ['ONEDNN_MAX_CPU_ISA'].startswith(('SSE41', 'AVX'))


def test_what_the_processor_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: {'avx2': True})
    assert cpu.available() == ['portable', 'avx2']
    for name in ('amx', 'AVX2'):
        monkeypatch.setenv(cpu.VARIABLE, name)
        with pytest.raises(ConfigError, match=f'={name}: this processor has portable, avx2;'):
            cpu.capability()
        cpu.limit()
        assert os.environ['ATEN_CPU_CAPABILITY'] == ''
