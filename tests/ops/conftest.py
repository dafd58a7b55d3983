"""Operator tests run on the CPU, with emulated CUDA kernels, and on a CUDA device where present."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.ops.emulation import build

_cuda = pytest.param(
    'cuda',
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
    ],
)


@pytest.fixture(scope='session')
def emulation() -> build.Emulation:
    """The CUDA kernels, built for the CPU."""
    missing = build.missing_tool()
    if missing:
        pytest.skip(f'needs {missing}, to build the CUDA kernels for the CPU')
    return build.load()


@pytest.fixture(params=['cpu', 'emulated', _cuda])
def device(request) -> Iterator[str]:
    """A device whose operators are tested; with 'emulated' those of the CPU are CUDA's."""
    if request.param != 'emulated':
        yield request.param
        return
    with request.getfixturevalue('emulation').as_cpu_kernels():
        yield 'cpu'


@pytest.fixture(scope='session')
def golden(reference_dir):
    """Looks up an array of ops.npz by name, as a tensor."""
    arrays = np.load(reference_dir / 'ops.npz', allow_pickle=False)

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name])

    tensor.names = arrays.files
    return tensor
