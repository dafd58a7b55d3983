"""Errors where the compiled operators are missing, and what the libraries link to."""

import shutil
import subprocess
import sys

import pytest
import torch

from hrdet.ops import encode_masks, library, nms, roi_align, soft_nms
from hrdet.ops.library import Library

BOXES, SCORES = torch.zeros(1, 2, 4), torch.zeros(1, 2)
CALLS = [
    lambda: nms(BOXES, SCORES, 0.5, 2),
    lambda: soft_nms(BOXES, SCORES, 0.5, 0.05, 'linear', 0.5, 2),
    lambda: roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 7, 4, 2, False),
    lambda: encode_masks(torch.zeros(1, 4, 4), BOXES[0, :1], torch.ones(1, 2).long(), 0.5, True),
]


@pytest.mark.parametrize('call', CALLS)
def test_missing_cpu_operators(monkeypatch, call):
    monkeypatch.setattr(library, 'CPU', Library(library.FOLDER / '_ops_cpu.so', 'are not built'))
    monkeypatch.setattr(library, 'operators', library.MissingOperators())
    with pytest.raises(RuntimeError, match=r'operators are not built \(.*\)\. Run \./compile\.sh'):
        call()


WITHOUT_LIBRARY = """
import sys
import torch
from hrdet.ops import library, nms

assert library.__file__.startswith(sys.argv[1])
for call in (lambda: nms(torch.zeros(1, 2, 4), torch.zeros(1, 2), 0.5, 2),
             lambda: library.check('cpu')):
    try:
        call()
    except library.MissingOperatorsError as error:
        print(error)
"""


def test_a_package_without_its_library(tmp_path):
    """A direct call and the check at the start say the same."""
    ignored = shutil.ignore_patterns('*.so', '__pycache__')
    shutil.copytree(library.FOLDER, tmp_path / 'hrdet', ignore=ignored)
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_LIBRARY, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    call, check = done.stdout.splitlines()
    assert call == check
    assert check.endswith('Run ./compile.sh')


def test_missing_cuda_operators(monkeypatch):
    missing = Library(library.FOLDER / '_ops_cuda.so', 'are not built')
    monkeypatch.setattr(library, 'CUDA', missing)
    monkeypatch.setattr(library, 'TORCHVISION', False)
    with pytest.raises(RuntimeError, match=r'CUDA operators are not built .*compile.*torchvision'):
        library.check('cuda:0')
    library.check('cpu')
    monkeypatch.setattr(library, 'TORCHVISION', True)
    library.check('cuda:0')


@pytest.mark.skipif(library.CUDA.loaded or library.TORCHVISION, reason='CUDA has its operators')
@pytest.mark.parametrize('name', ['roi_align', 'roi_align_backward', 'nms', 'soft_nms'])
def test_cuda_tensors_without_cuda_operators(name):
    """The dispatcher has a kernel for them, which tells what is missing."""
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f'hrdet::{name}', 'CUDA')


def test_library_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(library, 'FOLDER', tmp_path)
    assert library._load('_ops_cpu.so') == Library(tmp_path / '_ops_cpu.so', 'are not built')


def test_library_that_does_not_load(monkeypatch, tmp_path):
    monkeypatch.setattr(library, 'FOLDER', tmp_path)
    (tmp_path / '_ops_cpu.so').write_text('no library')
    assert library._load('_ops_cpu.so').problem.startswith('do not load: ')


@pytest.mark.skipif(shutil.which('nm') is None, reason='needs nm of binutils')
def test_links_to_the_stable_abi_only():
    """C++ symbols of torch would tie the library to one torch, those of Python to one Python."""
    for found in (library.CPU, library.CUDA):
        if found.path.is_file():
            listing = subprocess.run(
                ['nm', '-D', '--undefined-only', found.path],
                capture_output=True,
                text=True,
                check=True,
            )
            symbols = [line.split()[-1] for line in listing.stdout.splitlines()]
            assert any(symbol.startswith('torch_') for symbol in symbols)
            tied = ('_ZN2at', '_ZN3c10', '_ZN5torch', '_ZNK2at', '_ZNK3c10', '_ZNK5torch', 'Py')
            assert not [symbol for symbol in symbols if symbol.startswith(tied)]
