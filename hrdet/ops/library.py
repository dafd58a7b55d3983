"""The compiled operators: ``hrdet/_ops_cpu.so`` always, ``hrdet/_ops_cuda.so`` beside a CUDA torch.

Loading never raises: the state of each library is recorded for the check at the start
(:func:`check`), the error of a direct call, and ``python -m hrdet.doctor``.
"""

import ctypes
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from . import cpu

FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Library:
    """A compiled library: its path, and why it is not loaded (None: it is)."""

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
    """The operators of a device are missing; the message says how to get them."""


def cuda_archs() -> str:
    """The architectures that the loaded CUDA library was compiled for, as '8.0;9.0+PTX'."""
    archs = ctypes.CDLL(str(CUDA.path)).hrdet_cuda_archs
    archs.restype = ctypes.c_char_p
    return archs().decode()


def check(device: torch.device | str) -> None:
    """Raise, with the cure, when the operators of ``device`` are missing; called once at the start.

    Raises:
        MissingOperatorsError: the library for that device is not built or does not load.
        ConfigError: ``HRDET_CPU_CAPABILITY`` is not a capability of this processor.
    """
    cpu.capability()
    if not CPU.loaded:
        raise MissingOperatorsError(
            f"hrdet's operators {CPU.problem} ({CPU.path}). Run ./compile.sh"
        )
    if torch.device(device).type == 'cuda' and not CUDA.loaded and not TORCHVISION:
        raise MissingOperatorsError(
            f"hrdet's CUDA operators {CUDA.problem} ({CUDA.path}). Run ./compile.sh where a CUDA "
            'toolkit is installed, or install torchvision, whose kernels then stand in'
        )


def require(tensor: torch.Tensor) -> None:
    """``check`` for the device of a tensor."""
    check(tensor.device)


class MissingOperators:
    """In place of ``torch.ops.hrdet`` where it is not there: a direct call says what to do."""

    def __getattr__(self, name: str) -> Any:
        check('cpu')
        raise AttributeError(name)


# What hrdet.ops calls.  The check costs nothing where the operators are there.
operators = torch.ops.hrdet if CPU.loaded else MissingOperators()


def refuse_cuda() -> None:
    """Give CUDA tensors kernels that say what is missing, where no library has others."""

    def missing(*_: Any) -> None:
        check('cuda')

    for name in ('roi_align', 'roi_align_backward', 'nms', 'soft_nms'):
        torch.library.impl(f'hrdet::{name}', 'cuda', missing)
