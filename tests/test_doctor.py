"""The report of ``python -m hrdet.doctor``, here and on machines where something is wrong."""

import ast
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from hrdet import doctor
from hrdet.ops import library

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30


@pytest.fixture(autouse=True)
def _any_space_is_enough(monkeypatch):
    monkeypatch.setattr(doctor, 'SPACE', 0)
    monkeypatch.setattr(doctor, 'SHARED_MEMORY', 0)


@pytest.fixture
def versions(monkeypatch):
    """Versions of packages that take the place of the installed ones; None: not installed."""
    changed, real = {}, doctor.version_of
    monkeypatch.setattr(
        doctor, 'version_of', lambda name: changed[name] if name in changed else real(name)
    )
    return changed


def stand_in(folder, monkeypatch, name, code):
    """A module ``name`` with that code in place of the installed one."""
    (folder / f'{name}.py').write_text(code)
    monkeypatch.syspath_prepend(folder)
    for loaded in [key for key in sys.modules if key == name or key.startswith(f'{name}.')]:
        monkeypatch.delitem(sys.modules, loaded)


def test_a_healthy_machine(capsys):
    assert doctor.main([]) == 0
    report = capsys.readouterr().out
    for word in ('hrdet', 'torch', 'CPU operators', 'CUDA operators', 'hotcoco', 'torchvision'):
        assert f'\n{word} ' in f'\n{report}'


def test_problems_end_with_1(capsys, versions):
    versions['deflate'] = None
    versions['opencv-python'] = '4.10'
    assert doctor.main([]) == 1
    assert '\nProblems:\n- opencv-python-headless and opencv-python ' in capsys.readouterr().out


def test_all_required_packages_are_imported():
    wanted = re.search(r'install_requires=(\[.*?\])', (ROOT / 'setup.py').read_text(), re.DOTALL)
    names = {re.split('[<>=]', text)[0] for text in ast.literal_eval(wanted[1])}
    assert names == {'torch', *doctor.REQUIRED}


def test_missing_operators(monkeypatch):
    path = library.FOLDER / '_ops_cpu.so'
    monkeypatch.setattr(library, 'CPU', library.Library(path, 'are not built'))
    assert 'The CPU operators are not built. Run ./compile.sh' in doctor.Report().problems


def test_operators_of_another_torch(monkeypatch, tmp_path):
    """A library that asks for a symbol that this torch does not have; here, a damaged one."""
    (tmp_path / '_ops_cpu.so').write_bytes(b'\x7fELF')
    monkeypatch.setattr(library, 'FOLDER', tmp_path)
    monkeypatch.setattr(library, 'CPU', library._load('_ops_cpu.so'))
    (problem,) = doctor.Report().problems
    assert problem.startswith('The CPU operators do not load: ')
    assert problem.endswith('Run ./compile.sh')


def test_operators_of_a_wheel(monkeypatch, tmp_path):
    (tmp_path / '_share').mkdir()
    monkeypatch.setattr(doctor.hrdet, '__file__', str(tmp_path / '__init__.py'))
    path = library.FOLDER / '_ops_cpu.so'
    monkeypatch.setattr(library, 'CPU', library.Library(path, 'are not built'))
    assert doctor.Report().problems[0].endswith('pip install --force-reinstall --no-deps hrdet')


def test_gpu_without_operators(monkeypatch):
    monkeypatch.setattr(doctor, 'gpus', lambda: [('A100', 8, 0)])
    path = library.FOLDER / '_ops_cuda.so'
    monkeypatch.setattr(library, 'CUDA', library.Library(path, 'are not built'))
    assert 'the CUDA operators are not built' in doctor.Report().advice[0]


def test_gpu_of_another_architecture(monkeypatch):
    monkeypatch.setattr(doctor, 'gpus', lambda: [('RTX 2080', 7, 5)])
    monkeypatch.setattr(library, 'CUDA', library.Library(library.FOLDER / '_ops_cuda.so', None))
    monkeypatch.setattr(library, 'cuda_archs', lambda: '8.0;9.0+PTX')
    assert 'TORCH_CUDA_ARCH_LIST="7.5+PTX" ./compile.sh' in doctor.Report().advice[0]


def test_missing_packages(monkeypatch):
    monkeypatch.setattr(doctor, 'REQUIRED', {'no-such': 'no_such', 'nor-such': 'nor_such'})
    report = doctor.Report()
    assert report.problems == ['pip install no-such nor-such']
    assert report.lines['no-such'] == 'missing'


def test_a_package_that_cannot_be_imported(monkeypatch, tmp_path):
    """Its metadata are there, as after an interrupted update."""
    stand_in(tmp_path, monkeypatch, 'deflate', 'raise OSError("libdeflate.so.0: cannot open")')
    report = doctor.Report()
    (problem,) = report.problems
    assert problem.startswith('deflate 0')
    assert 'cannot be imported (OSError: libdeflate.so.0: cannot open)' in problem
    assert problem.endswith('pip install --force-reinstall deflate')
    assert report.lines['deflate'].endswith(', broken')


def test_a_broken_package_that_is_optional(monkeypatch, tmp_path, versions):
    stand_in(tmp_path, monkeypatch, 'torchvision', 'raise RuntimeError("no torchvision::nms")')
    versions['torchvision'] = '0.29.0'
    report = doctor.Report()
    assert report.problems == []
    assert report.advice[0].startswith('torchvision 0.29.0 cannot be imported (RuntimeError: no')


def test_two_owners_of_cv2(versions):
    versions['opencv-python'] = '4.10'
    (problem,) = doctor.Report().problems
    assert problem.endswith(
        'pip uninstall -y opencv-python-headless opencv-python; pip install opencv-python-headless'
    )


def test_another_owner_of_cv2(versions):
    versions |= {'opencv-python-headless': None, 'opencv-python': '4.10'}
    report = doctor.Report()
    assert report.problems == []
    assert report.lines['opencv-python-headless'] == 'none; cv2 is of opencv-python'


def test_torch_that_is_missing(monkeypatch, tmp_path, versions):
    """In a process of its own: torch cannot be imported twice."""
    (tmp_path / 'torch.py').write_text('raise ModuleNotFoundError("No module named \'torch\'")')
    code = 'from hrdet import doctor; doctor.version_of = {}.get; print(*doctor.Report().problems)'
    told = run(code, tmp_path)
    assert told.startswith("torch is missing. pytorch.org's selector")
    assert sys.executable in told


def test_torch_that_is_broken(tmp_path):
    (tmp_path / 'torch.py').write_text('raise OSError("libtorch_cpu.so: cannot open")')
    told = run('from hrdet import doctor; print(*doctor.Report().problems)', tmp_path)
    assert 'cannot be imported (OSError: libtorch_cpu.so: cannot open). pip install' in told


def test_torch_that_is_old(monkeypatch):
    import torch

    monkeypatch.setattr(torch, '__version__', '2.9.1+cu128')
    (problem,) = doctor.Report().problems
    assert problem == 'torch 2.9.1+cu128 is too old: pip install --upgrade "torch>=2.11"'


Usage = namedtuple('Usage', 'total used free')


def test_no_space_and_little_shared_memory(monkeypatch):
    monkeypatch.setattr(doctor, 'SPACE', GIB)
    monkeypatch.setattr(doctor, 'SHARED_MEMORY', GIB)
    usage = {doctor.SHARED_MEMORY_FOLDER: Usage(2**26, 0, 2**26)}
    monkeypatch.setattr(
        doctor.shutil, 'disk_usage', lambda path: usage.get(path, Usage(GIB, GIB, 2**20))
    )
    *disks, shared = doctor.Report().problems
    assert len(disks) == 3
    assert all('has 1 MiB left' in disk for disk in disks)
    assert shared.startswith('Only 64 of 64 MiB of shared memory (/dev/shm) are free.')
    assert 'docker run --shm-size 8g' in shared


def test_no_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, 'SHARED_MEMORY_FOLDER', tmp_path / 'none')
    (problem,) = doctor.Report().problems
    assert problem.startswith('There is no shared memory at ')


@pytest.mark.parametrize('script', ['tools/train.py', 'tools/analysis/get_flops.py', 'setup.py'])
def test_an_old_python_is_told_in_one_line(script, tmp_path):
    code = (
        f'import runpy, sys; sys.version_info = (3, 9, 18); runpy.run_path({str(ROOT / script)!r})'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert re.fullmatch(r'error: hrdet needs Python 3.10 or newer; this is \S+, .*\n', done.stderr)


def test_an_old_python_can_read_what_it_starts():
    for file in (ROOT / 'setup.py', ROOT / 'hrdet/__init__.py', *(ROOT / 'tools').rglob('*.py')):
        ast.parse(file.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize(
    ('archs', 'capability', 'runs'),
    [
        ('8.0;9.0+PTX', (8, 0), True),
        ('8.0;9.0+PTX', (8, 6), True),  # machine code of its generation
        ('8.0;9.0+PTX', (7, 5), False),
        ('8.0;9.0+PTX', (12, 0), True),  # through PTX
        ('8.0 9.0', (12, 0), False),
        ('8.6', (8, 0), False),
    ],
)
def test_which_gpus_code_runs_on(archs, capability, runs):
    assert doctor.runs_on(archs, *capability) == runs


def run(code, folder):
    """The output of a new process that finds the modules of a folder first."""
    start = f'import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]; '
    done = subprocess.run([sys.executable, '-c', start + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
