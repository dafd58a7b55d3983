"""The first look at a GPU, as far as a CPU goes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import device

ROOT = Path(__file__).resolve().parents[2]


def test_a_device_is_compared_with_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(device, 'MODELS', {'classifier': device.MODELS['classifier']})
    with device.generated_data():
        assert device.losses('cpu')
    assert '| classifier | ' in capsys.readouterr().out


def test_another_loss_is_noticed(monkeypatch, capsys):
    monkeypatch.setattr(device, 'MODELS', {'classifier': device.MODELS['classifier']})
    monkeypatch.setattr(device, 'LOSSES', -1)
    with device.generated_data():
        assert not device.losses('cpu')
    assert '**differs**' in capsys.readouterr().out


def test_it_learns_in_a_few_iterations(capsys):
    with device.generated_data():
        assert device.learning('cpu', 2)
    assert '2 iterations on four images' in capsys.readouterr().out


@pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')
def test_the_script_is_well_formed():
    script = ROOT / 'benchmarks/gpu.sh'
    assert subprocess.run(['bash', '-n', script]).returncode == 0
    limits = [
        int(line.split()[1]) for line in script.read_text().splitlines() if line[:5] == 'step '
    ]
    assert len(limits) > 5
    assert sum(limits) <= 480  # seconds
