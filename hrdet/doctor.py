"""``python -m hrdet.doctor`` prints what is installed, which operators are active, and what to do.

The exit code is 1 if something that every run needs is missing or broken.
"""

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import hrdet
from hrdet.command_line import Parser
from hrdet.zoo import cache_folder

# The module that each package is imported as; torch is imported before all others.
REQUIRED = {
    'numpy': 'numpy',
    'opencv-python-headless': 'cv2',
    'pycocotools': 'pycocotools.mask',
    'hotcoco': 'hotcoco',
    'rich': 'rich',
    'matplotlib': 'matplotlib',
    'pillow': 'PIL.Image',
    'pyyaml': 'yaml',
    'deflate': 'deflate',
    'safetensors': 'safetensors',
}
OPTIONAL = {
    'orjson': 'orjson',
    'torchvision': 'torchvision',
    'tensorboard': 'tensorboard',
    'scipy': 'scipy',
    'onnx': 'onnx',
    'onnxscript': 'onnxscript',
    'onnxruntime': 'onnxruntime',
    'openvino': 'openvino',
    'wandb': 'wandb',
    'mlflow': 'mlflow',
}
OWNERS_OF_CV2 = (
    'opencv-python-headless',
    'opencv-python',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
OLDEST_TORCH = (2, 11)
SPACE = 2**30  # bytes: the checkpoints of a small detector
SHARED_MEMORY = 2**28  # bytes: a few batches of the loader's workers
SHARED_MEMORY_FOLDER = Path('/dev/shm')


def version_of(package: str) -> str | None:
    """Of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def import_error(module: str) -> str | None:
    """Why a module cannot be imported, in one line; None if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken package may raise anything
        return f'{type(error).__name__}: {error}'.splitlines()[0]
    return None


def gpus() -> list[tuple[str, int, int]]:
    """(name, major, minor) of the GPUs that torch sees."""
    import torch

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


class Report:
    """What is found: ``lines`` by name, ``problems`` that stop runs, and ``advice``."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self.problems: list[str] = []
        self.advice: list[str] = []
        self.lines['hrdet'] = f'{hrdet.__version__} in {Path(hrdet.__file__).parent}'
        self.lines['python'] = f'{platform.python_version()} on {platform.platform()}'
        folders = {'this folder': Path.cwd(), 'temporary files': Path(tempfile.gettempdir())}
        if self._torch():
            self._operators()
            folders['weights'] = cache_folder()
        self._packages()
        self._space(folders)
        self._shared_memory()

    def _torch(self) -> bool:
        """Whether torch can be used."""
        error = import_error('torch')
        version = version_of('torch')
        if version is None and error is not None:
            self.lines['torch'] = 'missing'
            self.problems.append(
                "torch is missing. pytorch.org's selector prints the command that installs it; is "
                f'the environment of hrdet active? This Python is {sys.executable}'
            )
            return False
        if error is not None:
            self.lines['torch'] = f'{version}, broken'
            self.problems.append(
                f'torch {version} cannot be imported ({error}). pip install --force-reinstall torch'
            )
            return False
        import torch

        self.lines['torch'] = torch.__version__
        self.lines['CUDA of torch'] = torch.version.cuda or 'none (CPU build)'
        if tuple(map(int, torch.__version__.split('.')[:2])) < OLDEST_TORCH:
            self.problems.append(
                f'torch {torch.__version__} is too old: pip install --upgrade "torch>=2.11"'
            )
            return False
        return True

    def _operators(self) -> None:
        from hrdet.ops import cpu, library

        devices = gpus()
        names = [f'{name} (sm_{major}{minor})' for name, major, minor in devices]
        self.lines['GPUs'] = ', '.join(names) or 'none'
        for device, operators in (('CPU', library.CPU), ('CUDA', library.CUDA)):
            loaded = f'loaded from {operators.path}'
            self.lines[f'{device} operators'] = loaded if operators.loaded else operators.problem
        self.lines['CPU capabilities'] = ', '.join(cpu.available())
        self.lines['active on CPU'] = "hrdet's own" if library.CPU.loaded else 'none'
        self.lines['active on CUDA'] = _active_on_cuda(library)
        if not library.CPU.loaded:
            self.problems.append(f'The CPU operators {library.CPU.problem}. {_rebuild()}')
        elif devices and not library.CUDA.loaded:
            self.advice.append(
                f'There is a GPU, but the CUDA operators {library.CUDA.problem}. {_rebuild()} with '
                f'CUDA toolkit {self.lines["CUDA of torch"]} installed (CUDA_HOME), or install a '
                'wheel that was built with it'
            )
        if library.CUDA.loaded:
            archs = library.cuda_archs()
            self.advice += [
                f'{name} is sm_{major}{minor}, but the CUDA operators were compiled for {archs}: '
                f'they will not run on it. TORCH_CUDA_ARCH_LIST="{major}.{minor}+PTX" ./compile.sh'
                for name, major, minor in devices
                if not runs_on(archs, major, minor)
            ]

    def _packages(self) -> None:
        errors = {package: import_error(module) for package, module in REQUIRED.items()}
        self._versions(errors, 'missing')
        missing = [name for name, error in errors.items() if error and version_of(name) is None]
        if missing:
            self.problems.append(f'pip install {" ".join(missing)}')
        self.problems += _broken(errors)
        owners = [package for package in OWNERS_OF_CV2 if version_of(package)]
        if len(owners) > 1:
            self.problems.append(
                f'{" and ".join(owners)} install the same files, cv2: one of them is damaged when '
                f'the other is changed. pip uninstall -y {" ".join(owners)}; '
                f'pip install {owners[0]}'
            )
        errors = {
            package: import_error(module)
            for package, module in OPTIONAL.items()
            if version_of(package)
        }
        self._versions(dict.fromkeys(OPTIONAL) | errors, 'none (optional)')
        self.advice += _broken(errors)

    def _versions(self, errors: dict[str, str | None], absent: str) -> None:
        for package, error in errors.items():
            version = version_of(package)
            found = absent if version is None else f'{version}, broken' if error else version
            if package in OWNERS_OF_CV2 and version is None and error is None:
                found = f'none; cv2 is of {", ".join(filter(version_of, OWNERS_OF_CV2))}'
            self.lines[package] = found

    def _space(self, folders: dict[str, Path]) -> None:
        for name, folder in folders.items():
            while not folder.is_dir():  # it is made when it is first used
                folder = folder.parent
            free = shutil.disk_usage(folder).free
            self.lines[f'space: {name}'] = f'{free / 2**30:.1f} GiB free in {folder}'
            if not os.access(folder, os.W_OK):
                self.problems.append(f'{folder} is not writable ({name}): use another folder')
            elif free < SPACE:
                self.problems.append(
                    f'{folder} has {free / 2**20:.0f} MiB left ({name}): free some space, a '
                    'training keeps about 1 GiB of checkpoints'
                )

    def _shared_memory(self) -> None:
        if not sys.platform.startswith('linux'):
            return
        folder = SHARED_MEMORY_FOLDER
        cure = (
            'The workers that load images need it. In a container: docker run --shm-size 8g; '
            'or no workers: --cfg-options data.workers_per_gpu=0'
        )
        if not os.access(folder, os.W_OK):
            self.lines['shared memory'] = 'none'
            self.problems.append(f'There is no shared memory at {folder}. {cure}')
            return
        size = shutil.disk_usage(folder)
        self.lines['shared memory'] = f'{size.free / 2**30:.1f} of {size.total / 2**30:.1f} GiB'
        if size.free < SHARED_MEMORY:
            self.problems.append(
                f'Only {size.free / 2**20:.0f} of {size.total / 2**20:.0f} MiB of shared memory '
                f'({folder}) are free. {cure}'
            )


def _active_on_cuda(library: Any) -> str:
    if library.CUDA.loaded:
        return f"hrdet's own, compiled for {library.cuda_archs()}"
    if library.TORCHVISION:
        return "torchvision's (slower; soft-NMS runs on the CPU)"
    return 'none'


def _rebuild() -> str:
    """The command that makes the operators anew: of a clone, or of a wheel."""
    folder = Path(hrdet.__file__).parent
    if (folder / '_share').is_dir():
        return 'pip install --force-reinstall --no-deps hrdet'
    return 'Run ./compile.sh'


def _broken(errors: dict[str, str | None]) -> list[str]:
    """The cure of each installed package that cannot be imported."""
    return [
        f'{package} {version_of(package)} cannot be imported ({error}). '
        f'pip install --force-reinstall {package}'
        for package, error in errors.items()
        if error and version_of(package)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; the exit code is 1 if there are problems."""
    Parser(__doc__).parse_args(arguments)
    report = Report()
    for name, value in report.lines.items():
        print(f'{name:24} {value}')
    for title, steps in (('Problems', report.problems), ('Advice', report.advice)):
        if steps:
            print(f'\n{title}:', *(f'- {step}' for step in steps), sep='\n')
    if not report.problems + report.advice:
        print('\nNothing to do.')
    return 1 if report.problems else 0


if __name__ == '__main__':
    sys.exit(main())
