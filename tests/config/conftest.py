"""Whole configs, as dicts for a test to change."""

import copy
import json
from pathlib import Path

import pytest

from hrdet.config import load_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def _shipped() -> dict:
    return load_config(ROOT / 'configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py').to_dict()


@pytest.fixture
def config(_shipped: dict) -> dict:
    """In the 2019 form: pipelines as keys of the data sets."""
    return copy.deepcopy(_shipped)


@pytest.fixture
def config_1x(reference_dir: Path) -> dict:
    """In the 1.x form: pipelines as steps, losses as nodes, ``train_cfg.rpn_proposal``."""
    file = reference_dir / 'manifests/mmdet1/faster_rcnn_hrnetv2p_w18_1x.json'
    record = json.loads(file.read_text())
    sections = {key: record[key] for key in ('model', 'train_cfg', 'test_cfg')}
    return sections | record['config_other']
