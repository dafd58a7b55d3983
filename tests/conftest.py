"""Fixtures of the whole suite."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile('hrdet', deadline=None)
settings.load_profile('hrdet')

_SHARED = Path(__file__).resolve().parents[2] / 'shared'


def _shared_folder(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f'needs the development data folder ../shared/{name}, absent from a clone')
    return folder


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
