"""Builds the CUDA kernels for the CPU, with the host's C++ compiler, and loads them.

``cuda_runtime.h`` here stands in for CUDA's.  The library registers ``torch.ops.hrdet_emulated.*``;
:func:`as_cpu_kernels` puts them in the place of the CPU kernels of ``torch.ops.hrdet.*``.
"""

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.utils import cpp_extension

import hrdet.ops  # noqa: F401  (declares the operators)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
OPERATORS = ('nms', 'roi_align', 'roi_align_backward', 'soft_nms')

# The sanitizer that checks the library, by the variable HRDET_SANITIZER; see ../sanitize.sh.
_SANITIZERS = {
    '': [],
    'address': ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
    'thread': ['-fsanitize=thread', '-DEMULATION_THREAD_SANITIZER'],
}
_FLAGS = [
    *('-std=c++20', '-O1', '-g', '-fPIC', '-ffp-contract=off', '-fvisibility=hidden'),
    *('-Wall', '-Wno-unknown-pragmas', '-Wno-psabi'),
    *('-DUSE_CUDA', '-DTORCH_TARGET_VERSION=0x020a000000000000'),
    # Small tests then step through the grid and split the overlap mask, as large ones do on a GPU.
    *('-DHRDET_MAX_BLOCKS=5', '-DHRDET_NMS_MASK_BYTES=4096'),
    f'-I{HERE}',
    *(f'-I{folder}' for folder in cpp_extension.include_paths()),
]


def missing_tool() -> str | None:
    """The tool without which nothing can be built, or None."""
    for tool in (os.environ.get('CXX', 'c++'), 'objcopy'):
        if shutil.which(tool) is None:
            return tool
    return None


def _sources() -> list[Path]:
    kernels = sorted((ROOT / 'csrc' / 'cuda').glob('*.cu'))
    return [*kernels, *(HERE / name for name in ('self_test.cu', 'scheduler.cpp', 'library.cpp'))]


def _fingerprint(flags: list[str]) -> str:
    headers = [*(ROOT / 'csrc').rglob('*.*h'), *HERE.glob('*.h')]
    digest = hashlib.sha256(repr((flags, torch.__version__)).encode())
    for path in sorted([*_sources(), *headers, Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(source: Path, flags: list[str], folder: Path) -> Path:
    target = folder / f'{source.name}.o'
    if source.name == 'scheduler.cpp':  # Thread Sanitizer must see the kernels, not how they switch
        flags = [flag for flag in flags if flag != '-fsanitize=thread']
    compiler = os.environ.get('CXX', 'c++')
    _run([compiler, '-x', 'c++', *flags, '-c', str(source), '-o', str(target)])
    if source.suffix == '.cu':  # whose only static variables are shared memory
        _run(['objcopy', '--rename-section', '.bss=emulated_shared', str(target)])
    return target


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)}\n{done.stderr}')


def build(sanitizer: str = '') -> Path:
    """The library, compiled unless that was done before."""
    flags = _FLAGS + _SANITIZERS[sanitizer]
    folder = ROOT / 'build' / 'emulation' / _fingerprint(flags)
    library = folder / '_ops_emulated.so'
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes start together
        if not library.is_file():
            with ThreadPoolExecutor(2) as pool:
                objects = list(pool.map(lambda source: _compile(source, flags, folder), _sources()))
            made = folder / 'unfinished.so'
            search = [f'-L{path}' for path in cpp_extension.library_paths()]
            command = [os.environ.get('CXX', 'c++'), '-shared', '-Wl,-Bsymbolic', *flags]
            _run([*command, *map(str, objects), *search, '-ltorch_cpu', '-o', str(made)])
            made.replace(library)
    return library


class Emulation:
    """The loaded library."""

    def __init__(self, library: Path) -> None:
        self._schemas = torch.library.Library('hrdet_emulated', 'DEF')
        for name in OPERATORS:
            schema = str(getattr(torch.ops.hrdet, name).default._schema)
            self._schemas.define(schema.removeprefix('hrdet::'))
        torch.ops.load_library(str(library))
        self._library = ctypes.CDLL(str(library))
        self._library.emulation_launches.restype = ctypes.c_int64

    def launches(self) -> int:
        """Kernels launched so far."""
        return self._library.emulation_launches()

    def self_test(self, name: str, values: list[int]) -> tuple[list[int], str]:
        """Run a kernel of self_test.cu on ``values``; returns the new values, and the error."""
        data = (ctypes.c_int * len(values))(*values)
        error = ctypes.create_string_buffer(400)
        self._library.emulation_self_test(name.encode(), data, len(values), error, len(error))
        return list(data), error.value.decode()

    @contextlib.contextmanager
    def order(self, seed: int) -> Iterator[None]:
        """Run threads and blocks in another order: 0 ascending, 1 descending, else shuffled."""
        self._library.emulation_set_order(seed)
        try:
            yield
        finally:
            self._library.emulation_set_order(0)

    def refusal(
        self, x: int, y: int = 1, z: int = 1, threads: int = 1, shared_bytes: int = 0
    ) -> str:
        """What the launcher says of a launch of this shape; '' where it would launch."""
        error = ctypes.create_string_buffer(400)
        sizes = map(ctypes.c_int64, (x, y, z, threads, shared_bytes))
        self._library.emulation_check_launch(*sizes, error, ctypes.c_size_t(len(error)))
        return error.value.decode()

    @contextlib.contextmanager
    def as_cpu_kernels(self) -> Iterator[None]:
        """Until the end of the block ``torch.ops.hrdet.*`` on CPU tensors runs the CUDA kernels."""
        overrides = torch.library.Library('hrdet', 'IMPL')
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Warning only once for all operators')
            for name in OPERATORS:
                kernel = getattr(torch.ops.hrdet_emulated, name).default
                overrides.impl(name, kernel, 'CPU', allow_override=True)
        try:
            yield
        finally:
            overrides._destroy()


@functools.cache
def load() -> Emulation:
    return Emulation(build(os.environ.get('HRDET_SANITIZER', '')))
