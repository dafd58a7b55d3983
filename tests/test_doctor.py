"""The report of ``python -m hrdet.doctor``."""

import pytest

from hrdet import doctor
from hrdet.ops import library


def test_says_what_is_active(capsys):
    assert doctor.main() == 0
    report = capsys.readouterr().out
    for word in ('hrdet', 'torch', 'CPU operators', 'CUDA operators', 'hotcoco', 'torchvision'):
        assert f'\n{word} ' in f'\n{report}'


def test_missing_operators_fail(monkeypatch, capsys):
    path = library.FOLDER / '_ops_cpu.so'
    monkeypatch.setattr(library, 'CPU', library.Library(path, 'are not built'))
    assert doctor.main() == 1
    assert '- The CPU operators are not built. Run ./compile.sh' in capsys.readouterr().out


def test_gpu_without_operators(monkeypatch):
    monkeypatch.setattr(doctor, 'gpus', lambda: [('A100', 8, 0)])
    path = library.FOLDER / '_ops_cuda.so'
    monkeypatch.setattr(library, 'CUDA', library.Library(path, 'are not built'))
    assert 'the CUDA operators are not built' in doctor.advice()[0]


def test_gpu_of_another_architecture(monkeypatch):
    monkeypatch.setattr(doctor, 'gpus', lambda: [('RTX 2080', 7, 5)])
    monkeypatch.setattr(library, 'CUDA', library.Library(library.FOLDER / '_ops_cuda.so', None))
    monkeypatch.setattr(library, 'cuda_archs', lambda: '8.0;9.0+PTX')
    assert 'TORCH_CUDA_ARCH_LIST="7.5+PTX" ./compile.sh' in doctor.advice()[0]


def test_missing_package(monkeypatch):
    monkeypatch.setattr(doctor, 'REQUIRED', ('numpy', 'no-such-package'))
    assert 'pip install no-such-package' in doctor.advice()


@pytest.mark.parametrize(
    ('archs', 'capability', 'runs'),
    [
        ('8.0;9.0+PTX', (8, 0), True),
        ('8.0;9.0+PTX', (8, 6), True),  # machine code of its generation
        ('8.0;9.0+PTX', (7, 5), False),
        ('8.0;9.0+PTX', (12, 0), True),  # through PTX
        ('8.0 9.0', (12, 0), False),
        ('8.6', (8, 0), False),
    ],
)
def test_which_gpus_code_runs_on(archs, capability, runs):
    assert doctor.runs_on(archs, *capability) == runs
