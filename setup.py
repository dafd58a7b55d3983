"""Build hrdet: a pure Python package and two libraries of operators beside it.

``hrdet/_ops_cpu.so`` is always built, ``hrdet/_ops_cuda.so`` where a CUDA toolkit and a CUDA build
of torch are found.  Both are written on LibTorch's stable ABI and are no Python modules, so one
wheel serves every torch from 2.11 on and every Python.  The environment decides:

    FORCE_CUDA=1             build the CUDA library; fail where that is not possible
    FORCE_CUDA=0             do not build it
    CUDA_HOME                the toolkit's folder; else the one of the nvcc on the PATH
    TORCH_CUDA_ARCH_LIST     default '8.0;9.0+PTX'
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036  (older ones read no further)
    raise SystemExit(
        'error: hrdet needs Python 3.10 or newer; this is '
        f'{sys.version.split()[0]}, {sys.executable}'
    )

try:
    import torch
    from setuptools import Extension, find_packages, setup
    from setuptools.command.bdist_wheel import bdist_wheel
    from setuptools.command.build_py import build_py
    from torch.utils import cpp_extension
except ImportError as error:
    raise SystemExit(
        f'{error}. To build hrdet: pip install "torch>=2.11" "setuptools>=77" ninja, then build '
        'with pip install --no-build-isolation, or ./compile.sh'
    ) from error

ROOT = Path(__file__).resolve().parent
# The oldest LibTorch whose stable ABI is used. Without it the newest symbols of the installed torch
# would be linked, and the library would not load anywhere else.
TARGET = '-DTORCH_TARGET_VERSION=0x020a000000000000'
DEFAULT_ARCHS = '8.0;9.0+PTX'


def cuda_home() -> Path | None:
    """The folder of the toolkit; an nvcc on the PATH may be a wrapper outside of it."""
    nvcc = shutil.which('nvcc')
    candidates = [
        os.environ.get('CUDA_HOME'),
        Path(nvcc).resolve().parents[1] if nvcc else None,
        '/usr/local/cuda',
    ]
    for home in map(Path, filter(None, candidates)):
        if (home / 'bin' / 'nvcc').is_file() and (home / 'include' / 'cuda_runtime.h').is_file():
            return home
    return None


def toolkit_version() -> str:
    """Such as 13.0, as the toolkit's nvcc says."""
    nvcc = [str(cuda_home() / 'bin' / 'nvcc'), '--version']
    told = subprocess.run(nvcc, capture_output=True, text=True, check=True).stdout
    return re.search(r'release (\d+\.\d+)', told)[1]


def why_no_cuda() -> str | None:
    """The reason not to build the CUDA library, or None to build it."""
    wish = os.environ.get('FORCE_CUDA', '')
    if wish not in ('', '0', '1'):
        raise SystemExit(f'FORCE_CUDA={wish!r}: it must be 0, 1 or unset')
    if wish == '0':
        return 'FORCE_CUDA is 0'
    if torch.version.cuda is None:
        reason = 'this is a CPU build of torch, with nothing to link CUDA code to'
    elif cuda_home() is None:
        reason = 'there is no CUDA toolkit (set CUDA_HOME, or put nvcc on the PATH)'
    elif toolkit_version().split('.')[0] != torch.version.cuda.split('.')[0]:
        reason = f'the toolkit is CUDA {toolkit_version()}, torch is built for {torch.version.cuda}'
    else:
        return None
    if wish == '1':
        raise SystemExit(f'FORCE_CUDA=1, but {reason}')
    return reason


def library(name: str, folder: str, libraries: list[str], **options) -> Extension:
    """One operator library; it links to nothing of Python's and to no CUDA runtime of torch's."""
    sources = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / 'csrc' / folder).iterdir()
        if path.suffix in ('.cpp', '.cu')
    )
    depends = [str(path.relative_to(ROOT)) for path in (ROOT / 'csrc').rglob('*.*h')]
    # No contraction: a * b + c must round the same way on every machine (csrc/common).
    hidden = ['-fvisibility=hidden', f'-ffile-prefix-map={ROOT}/=']
    cxx = ['-O3', '-ffp-contract=off', '-Wno-psabi', TARGET, *hidden, *options.get('cxx', [])]
    nvcc = ['-O3', '--fmad=false', TARGET, '-DUSE_CUDA', '-Xcompiler', ','.join(hidden)]
    return Extension(
        f'hrdet.{name}',
        sources,
        depends=depends,
        libraries=libraries,
        library_dirs=cpp_extension.library_paths() + options.get('library_dirs', []),
        include_dirs=cpp_extension.include_paths() + options.get('include_dirs', []),
        extra_compile_args={'cxx': cxx, 'nvcc': nvcc},
        extra_link_args=['-s'],
        language='c++',
    )


def cuda_library() -> Extension:
    archs = os.environ.setdefault('TORCH_CUDA_ARCH_LIST', DEFAULT_ARCHS)
    home = cuda_home()
    cpp_extension.CUDA_HOME = str(home)  # where BuildExtension looks for nvcc
    return library(
        '_ops_cuda',
        'cuda',
        ['torch_cuda', 'torch_cpu', 'cudart_static', 'rt', 'pthread', 'dl'],
        library_dirs=[str(home / 'lib64'), str(home / 'lib')],
        include_dirs=[str(home / 'include')],
        cxx=[f'-DHRDET_CUDA_ARCHS="{archs}"'],
    )


class BuildOps(cpp_extension.BuildExtension.with_options(no_python_abi_suffix=True)):
    """Torch's build_ext, which knows the compiler flags of the installed torch, and a summary."""

    def run(self):
        super().run()
        print(f'hrdet ops: {SUMMARY}', file=sys.stderr)


class AnyPythonWheel(bdist_wheel):
    """The libraries belong to a platform, not to a Python: py3-none-<platform>.

    On Linux the platform is the oldest C library that has all symbols they ask for (PEP 600).
    """

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        platform = super().get_tag()[2]
        symbols = b''.join(path.read_bytes() for path in Path(self.bdist_dir).rglob('_ops_*.so'))
        versions = [int(minor) for minor in re.findall(rb'GLIBC_2\.(\d+)', symbols)]
        if versions and platform.startswith('linux_'):
            platform = platform.replace('linux_', f'manylinux_2_{max(17, *versions)}_')
        return 'py3', 'none', platform


class BuildPython(build_py):
    """The package; in a wheel with the tools and configs inside, for the command hrdet."""

    def run(self):
        super().run()
        if self.editable_mode:  # used from the checkout
            return
        for folder in ('tools', 'configs'):
            target = Path(self.build_lib, 'hrdet', '_share', folder)
            shutil.copytree(
                ROOT / folder,
                target,
                ignore=shutil.ignore_patterns('__pycache__'),
                dirs_exist_ok=True,
            )


# What users of each need; `all` is all of these.
EXTRAS = {
    'convert': ['scipy', 'cityscapesscripts'],  # of downloaded data sets
    'hub': ['safetensors'],  # is required, too: the name is known from other packages
    'browse': ['hotcoco[browse]'],  # the data set in a browser: coco explore
    'json': ['orjson'],  # annotations and results in half the time
    'export': ['onnx', 'onnxscript', 'onnxruntime'],
    'openvino': ['onnx', 'onnxscript', 'openvino'],
    'tensorboard': ['tensorboard'],
    'wandb': ['wandb'],
    'mlflow': ['mlflow'],
}

reason = why_no_cuda()
libraries = [library('_ops_cpu', 'cpu', ['torch_cpu'])]
if reason is None:
    libraries.append(cuda_library())
    cuda_summary = f'CUDA for {os.environ["TORCH_CUDA_ARCH_LIST"]}, toolkit {cuda_home()}'
else:
    cuda_summary = f'no CUDA library, because {reason}'
SUMMARY = f'CPU; {cuda_summary}; headers of torch {torch.__version__}'

setup(
    name='hrdet',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'hrdet/__init__.py').read_text())[1],
    description='HRNet for detection, classification and segmentation, driven by config files',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    project_urls={'Paper': 'https://arxiv.org/abs/1908.07919'},
    keywords='HRNet object-detection image-classification semantic-segmentation PyTorch',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: C++',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['hrdet', 'hrdet.*']),
    package_data={
        'hrdet': ['_ops_*.so', 'py.typed'],
        'hrdet.data.datasets': ['imagenet_classes.txt'],
    },
    ext_modules=libraries,
    cmdclass={'build_ext': BuildOps, 'build_py': BuildPython, 'bdist_wheel': AnyPythonWheel},
    entry_points={'console_scripts': ['hrdet = hrdet.__main__:main']},
    install_requires=[
        'torch>=2.11',
        'numpy',
        'opencv-python-headless',
        'pycocotools',
        'hotcoco',
        'rich',
        'matplotlib',
        'pillow',
        'pyyaml',  # the data.yaml of YOLO data sets
        'deflate',  # libdeflate: PNG files in half the time
        'safetensors',  # the format of timm's weights
    ],
    extras_require=EXTRAS
    | {
        'all': sorted({package for packages in EXTRAS.values() for package in packages}),
        'torchvision': ['torchvision'],  # its kernels, on a GPU without a compiler
        'test': ['pytest', 'pytest-xdist', 'hypothesis', 'ruff', 'import-linter', 'clang-format'],
    },
)
