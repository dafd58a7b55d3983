"""Every op test runs on the CPU, and again on a CUDA device where there is one."""

import numpy as np
import pytest
import torch

_cuda = pytest.param(
    'cuda',
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
    ],
)


@pytest.fixture(params=['cpu', _cuda])
def device(request) -> str:
    return request.param


@pytest.fixture(scope='session')
def golden(reference_dir):
    """Looks up an array of ops.npz by name, as a tensor."""
    arrays = np.load(reference_dir / 'ops.npz', allow_pickle=False)

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name])

    tensor.names = arrays.files
    return tensor
