"""The compiled operators: ``hrdet/_ops_cpu.so`` always, ``hrdet/_ops_cuda.so`` beside a CUDA torch.

Loading never raises: what was found, and why something was not, is kept for the error of the first
call (:func:`require`) and for ``python -m hrdet.doctor``.
"""

import ctypes
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Library:
    """A compiled library: its place, and what kept it from loading (None: it is loaded)."""

    path: Path
    problem: str | None

    @property
    def loaded(self) -> bool:
        return self.problem is None


def _load(name: str) -> Library:
    path = FOLDER / name
    if not path.is_file():
        return Library(path, 'are not built')
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        return Library(path, f'do not load: {error}')
    return Library(path, None)


def _load_cuda() -> Library:
    path = FOLDER / '_ops_cuda.so'
    if not CPU.loaded:  # which declares the operators
        return Library(path, 'are not loaded without the CPU operators')
    if torch.version.cuda is None:
        return Library(path, 'are not loaded: this torch is a CPU build')
    return _load(path.name)


CPU = _load('_ops_cpu.so')
CUDA = _load_cuda()
# Torchvision's kernels stand in on a CUDA machine without a compiler (hrdet/ops/fallback.py).
TORCHVISION = torch.version.cuda is not None and not CUDA.loaded and bool(find_spec('torchvision'))


class MissingOperatorsError(RuntimeError):
    """There are no operators for a device; the message says how to get them."""


def cuda_archs() -> str:
    """The architectures that the loaded CUDA library was compiled for, as '8.0;9.0+PTX'."""
    archs = ctypes.CDLL(str(CUDA.path)).hrdet_cuda_archs
    archs.restype = ctypes.c_char_p
    return archs().decode()


def require(tensor: torch.Tensor) -> None:
    """Raise, with the cure, when there are no operators for the device of ``tensor``.

    Raises:
        MissingOperatorsError: the library for that device is not built or does not load.
    """
    if not CPU.loaded:
        raise MissingOperatorsError(
            f"hrdet's operators {CPU.problem} ({CPU.path}). Run ./compile.sh"
        )
    if tensor.is_cuda and not CUDA.loaded and not TORCHVISION:
        raise MissingOperatorsError(
            f"hrdet's CUDA operators {CUDA.problem} ({CUDA.path}). Run ./compile.sh where a CUDA "
            'toolkit is installed, or install torchvision, whose kernels then stand in'
        )
