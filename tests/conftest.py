"""Fixtures of the whole suite, and what makes a run independent of its machine."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# One thread a process whatever the number of cores: results are the same everywhere, and processes
# (pytest -n) use the cores.  torch and OpenCV, imported later, read it; so do child processes.
for _name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENCV_FOR_THREADS_NUM'):
    os.environ.setdefault(_name, '1')

# The same examples in every run, however slow the machine is at the moment.  To look for new ones:
# pytest --hypothesis-profile=explore
_any_speed = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile('hrdet', derandomize=True, database=None, **_any_speed)
settings.register_profile('explore', print_blob=True, **_any_speed)
# Of ``make fuzz``: what failed is kept in .hypothesis, and tried first the next time.
_examples = int(os.environ.get('HRDET_FUZZ_EXAMPLES', '500'))
settings.register_profile('fuzz', print_blob=True, max_examples=_examples, **_any_speed)
settings.load_profile('hrdet')

_SHARED = Path(__file__).resolve().parents[2] / 'shared'


def _shared_folder(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f'needs the development data folder ../shared/{name}, absent from a clone')
    return folder


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A test that starts a run leaves no handlers of the logger 'hrdet' to the next one."""
    logger = logging.getLogger('hrdet')
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.fixture(scope='session')
def reference_dir() -> Path:
    """Golden data and key lists of the releases hrdet carries on."""
    return _shared_folder('reference')


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """Real images with annotations: coco_tiny, bccd, cocoapi."""
    return _shared_folder('data')


@pytest.fixture(scope='session')
def golden_ops(reference_dir: Path):
    """Outputs of the 2019 release's operations: ``ops.npz``, arrays by name."""
    return np.load(reference_dir / 'ops.npz', allow_pickle=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """A server of files on this machine that can fail as hosts do."""
    from tests.file_server import FileServer

    monkeypatch.setenv('NO_PROXY', '*')
    server = FileServer()
    yield server
    server.close()
