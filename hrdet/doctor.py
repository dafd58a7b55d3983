"""``python -m hrdet.doctor`` prints what is installed, which operators are active, and what to do.

The exit code is 1 if the CPU operators do not load: nothing runs without them.
"""

import platform
import re
import sys
from importlib import metadata

import torch

import hrdet
from hrdet.ops import cpu, library

REQUIRED = (
    'numpy',
    'opencv-python-headless',
    'pycocotools',
    'hotcoco',
    'rich',
    'matplotlib',
)
OPTIONAL = ('torchvision', 'tensorboard', 'onnx', 'onnxruntime', 'safetensors')


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def gpus() -> list[tuple[str, int, int]]:
    """(name, major, minor) of the GPUs that torch sees."""
    if not torch.cuda.is_available():
        return []
    properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [(gpu.name, gpu.major, gpu.minor) for gpu in properties]


def runs_on(archs: str, major: int, minor: int) -> bool:
    """Whether code for ``archs`` ('8.0;9.0+PTX') runs on a GPU of that compute capability.

    Machine code runs on its own generation, from its minor number on; PTX on all later ones.
    """
    for built_major, built_minor, ptx in re.findall(r'(\d+)\.(\d)[af]?(\+PTX)?', archs):
        built = int(built_major), int(built_minor)
        if (built[0] == major and built[1] <= minor) or (ptx and built <= (major, minor)):
            return True
    return False


def describe(operators: library.Library) -> str:
    return f'loaded from {operators.path}' if operators.loaded else f'{operators.problem}'


def active_on_cuda() -> str:
    if library.CUDA.loaded:
        return f"hrdet's own, compiled for {library.cuda_archs()}"
    if library.TORCHVISION:
        return "torchvision's (slower; soft-NMS runs on the CPU)"
    return 'none'


def environment() -> dict[str, str]:
    devices = [f'{name} (sm_{major}{minor})' for name, major, minor in gpus()]
    lines = {
        'hrdet': hrdet.__version__,
        'python': f'{platform.python_version()} on {platform.platform()}',
        'torch': torch.__version__,
        'CUDA of torch': torch.version.cuda or 'none (CPU build)',
        'GPUs': ', '.join(devices) or 'none',
        'CPU operators': describe(library.CPU),
        'CUDA operators': describe(library.CUDA),
        'CPU capabilities': ', '.join(cpu.available()),
        'active on CPU': "hrdet's own" if library.CPU.loaded else 'none',
        'active on CUDA': active_on_cuda(),
    }
    lines |= {package: version_of(package) or 'missing' for package in REQUIRED}
    return lines | {package: version_of(package) or 'none (optional)' for package in OPTIONAL}


def advice() -> list[str]:
    """What to do, the most urgent first; empty if nothing is wrong."""
    # 1. Missing operators; 2. a GPU that they were not compiled for; 3. missing packages.
    steps = []
    if not library.CPU.loaded:
        steps.append(f'The CPU operators {library.CPU.problem}. Run ./compile.sh')
    elif gpus() and not library.CUDA.loaded:
        steps.append(
            f'There is a GPU, but the CUDA operators {library.CUDA.problem}. Run ./compile.sh '
            f'with CUDA toolkit {torch.version.cuda} installed (CUDA_HOME), or install a wheel '
            'that was built with it'
        )
    if library.CUDA.loaded:
        archs = library.cuda_archs()
        steps += [
            f'{name} is sm_{major}{minor}, but the CUDA operators were compiled for {archs}: they '
            f'will not run on it. '
            f'TORCH_CUDA_ARCH_LIST="{major}.{minor}+PTX" ./compile.sh'
            for name, major, minor in gpus()
            if not runs_on(archs, major, minor)
        ]
    missing = [package for package in REQUIRED if version_of(package) is None]
    if missing:
        steps.append(f'pip install {" ".join(missing)}')
    return steps


def main() -> int:
    """Print the report; the exit code is 1 if the CPU operators do not load."""
    for name, value in environment().items():
        print(f'{name:24} {value}')
    print('\nWhat to do:' if advice() else '\nNothing to do.')
    for step in advice():
        print(f'- {step}')
    return 0 if library.CPU.loaded else 1


if __name__ == '__main__':
    sys.exit(main())
