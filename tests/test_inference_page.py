"""The blocks of docs/inference.md run as they are written, with random weights."""

import re
import textwrap
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from hrdet import apis, init_model, training_run, zoo
from hrdet.checkpoints import save_checkpoint
from hrdet.config import load_config

# What each block uses, and the size its images get here.
MODELS = {
    'faster_rcnn_hrnetv2p_w18_1x': {'data.test.img_scale': (128, 64)},
    'hrnet-w18_3rdparty_8xb32_in1k': {},
    'fcn_hr18s_512x1024_40k_cityscapes': {'data.test.pipeline.1.img_scale': (128, 64)},
}
NAMES = tuple(MODELS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with photos; random weights are where downloads would go."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HRDET_HOME', str(tmp_path))
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    picture = np.random.default_rng(0).integers(0, 255, (128, 64, 3), dtype=np.uint8)
    for name in ('photo.jpg', 'street.jpg'):
        cv2.imwrite(str(tmp_path / name), picture)
    return tmp_path


@pytest.fixture
def blocks(pytestconfig):
    page = (pytestconfig.rootpath / 'docs/inference.md').read_text(encoding='utf-8')
    return re.findall(r'\n\n((?:    .*\n|\n)+)', page)


@pytest.mark.parametrize('index', range(3), ids=['detection', 'classification', 'segmentation'])
def test_blocks(index, folder, blocks, monkeypatch):
    assert len(blocks) == len(NAMES) + 2  # and of training, and of the command
    monkeypatch.setattr(apis, 'load_config', lambda file, changes: load_config(
        file, MODELS[NAMES[index]] | (changes or {})))  # fmt: skip
    torch.manual_seed(0)
    options = {'classes': tuple(map(str, range(80)))} if index == 0 else None
    model = init_model(
        str(zoo.MODELS[NAMES[index]].config_file()), device='cpu', cfg_options=options
    )
    meta = {'classes': list(model.classes), 'hrdet_version': '0'}
    content = {'state_dict': model.state_dict(), 'meta': meta}
    save_checkpoint(folder / f'{NAMES[index]}.pth', content)
    names = {'images': torch.randn(2, 3, 64, 64)}
    exec(textwrap.dedent(blocks[index]), names)
    if index == 0:
        assert names['detections'].boxes.shape[1] == 4
        assert (folder / 'detections.jpg').is_file()
    if index == 1:
        assert names['logits'].shape == (2, 1000)
        assert names['features'].shape == (2, 2048)
        assert names['ours'].head.num_classes == 10
    if index == 2:
        assert names['labels'].shape == (128, 64)
        assert len(names['result'].classes) == len(names['result'].palette) == 19


def test_training(blocks, tmp_path, monkeypatch):
    """Without the training itself."""
    derived, asked = [], []

    def config_for(name, path, batch, force_cpu, epochs):
        derived.append((name, path, batch, epochs))
        return zoo.MODELS[name].config_file()

    def build_trainer(config, options, force_cpu):
        asked.append((config, options))
        return SimpleNamespace(work_dir=tmp_path, hooks=[], run=lambda: 0)

    monkeypatch.setattr(training_run, 'config_for', config_for)
    monkeypatch.setattr(training_run, 'build_trainer', build_trainer)
    exec(textwrap.dedent(blocks[len(NAMES)]), names := {})
    assert derived == [('faster_rcnn_hrnetv2p_w18_1x', 'data/mine', 4, 12)]
    ((_, options),) = asked
    assert options.seed == 0
    assert names['run'].complete
