"""Compile the CUDA kernels for every architecture, without a GPU, and print their resources.

    python -m tests.ops.compile_cuda [--archs 75 90 ...] [--nvcc NVCC]

One row for each kernel, one column for each architecture: registers per thread, and bytes of
spilled registers if any.  Fails if a kernel spills, or has more static shared memory than
csrc/cuda/launch.h leaves to it.  PTX for the newest architecture is compiled too.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch.utils import cpp_extension

ROOT = Path(__file__).resolve().parents[2]
ARCHS = (75, 80, 86, 89, 90, 100, 120)
STATIC_SHARED_BYTES = (48 << 10) - 40000  # csrc/cuda/launch.h


@dataclass(frozen=True)
class Usage:
    """What ptxas says of one kernel on one architecture."""

    registers: int
    spilled: int  # bytes stored
    shared_bytes: int  # static

    def __str__(self) -> str:
        return f'{self.registers}' + (f' (spills {self.spilled})' if self.spilled else '')


def read_usage(log: str) -> Iterator[tuple[str, int, Usage]]:
    """(mangled name, architecture, usage) of every kernel in the output of ``ptxas -v``."""
    kernel = re.compile(
        r"Compiling entry function '(\w+)' for 'sm_(\d+)\w*'.*?"
        r'(\d+) bytes spill stores.*?Used (\d+) registers([^\n]*)',
        re.DOTALL,
    )
    for name, arch, spilled, registers, rest in kernel.findall(log):
        shared = re.search(r'(\d+) bytes smem', rest)
        yield name, int(arch), Usage(int(registers), int(spilled), int(shared[1]) if shared else 0)


def readable(names: list[str]) -> list[str]:
    """Names of kernels with their template arguments, without parameters."""
    done = subprocess.run(
        ['c++filt'], input='\n'.join(names), capture_output=True, text=True, check=True
    )
    short = []
    for name in done.stdout.splitlines():
        name = re.sub(r'\(anonymous namespace\)|c10::|hrdet::|::', '', name)
        name = re.sub(r'\((int|bool)\)', '', name.removeprefix('void '))
        short.append(re.match(r'[^(]*', name)[0])
    return short


def compile_all(nvcc: str, archs: list[int]) -> str:
    """What ptxas says of all kernels; raises with the compiler's words if one does not compile."""
    code = [f'-gencode=arch=compute_{arch},code=sm_{arch}' for arch in archs]
    code.append(f'-gencode=arch=compute_{max(archs)},code=compute_{max(archs)}')
    flags = ['-O3', '-std=c++20', '--fmad=false', '-Xptxas', '-v', '-Xcompiler', '-Wall']
    flags += ['-DUSE_CUDA', '-DTORCH_TARGET_VERSION=0x020a000000000000', '--threads', '2']
    flags += [f'-I{folder}' for folder in cpp_extension.include_paths()]
    log = ''
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((ROOT / 'csrc' / 'cuda').glob('*.cu')):
            command = [nvcc, *flags, *code, '-c', str(source), '-o', f'{folder}/{source.stem}.o']
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f'{source.name} does not compile:\n{done.stdout}{done.stderr}')
            log += done.stdout + done.stderr
    return log


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--archs', type=int, nargs='+', default=ARCHS)
    parser.add_argument('--nvcc', default='nvcc')
    options = parser.parse_args()
    rows: dict[str, dict[int, Usage]] = defaultdict(dict)
    for name, arch, usage in read_usage(compile_all(options.nvcc, options.archs)):
        rows[name][arch] = usage
    names = dict(zip(rows, readable(list(rows))))
    print('| kernel | static shared |', *(f'sm_{arch} |' for arch in options.archs))
    print('|---' * (2 + len(options.archs)) + '|')
    faults = []
    for name in sorted(rows, key=names.get):
        usages = rows[name]
        shared = max(usage.shared_bytes for usage in usages.values())
        print(f'| `{names[name]}` | {shared} |', *(f'{usages[arch]} |' for arch in options.archs))
        if shared > STATIC_SHARED_BYTES:
            faults.append(f'{names[name]}: {shared} bytes of static shared memory')
        spilling = [arch for arch, usage in usages.items() if usage.spilled]
        faults += [f'{names[name]} spills on sm_{arch}' for arch in spilling]
    print(*faults, sep='\n', file=sys.stderr)
    return bool(faults)


if __name__ == '__main__':
    sys.exit(main())
