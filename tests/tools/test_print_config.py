"""tools/print_config.py as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from hrdet.config import load_config, lower

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py'


def run(*arguments, config=CONFIG):
    command = [sys.executable, str(ROOT / 'tools/print_config.py'), str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_printed_config_can_take_its_place(tmp_path):
    result = run('--cfg-options', 'data.imgs_per_gpu=5', 'data.train.img_scale=(640, 480)')
    assert result.returncode == 0, result.stderr
    copy = tmp_path / 'copy.py'
    copy.write_text(result.stdout)
    options = {'data.imgs_per_gpu': 5, 'data.train.img_scale': (640, 480)}
    assert lower(load_config(copy)) == lower(load_config(CONFIG, options))


def test_lowered(tmp_path):
    result = run('--lowered', '--cfg-options', 'lr_config.step=[20]', 'data.test.flip=True')
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert '        assigner=dict(  # train_cfg.rpn.assigner' in lines
    assert '    optimizer=dict(' in result.stdout
    second_view = [line.strip() for line in lines if 'RandomFlip' in line and 'test' in line]
    assert second_view == ["dict(type='RandomFlip', ratio=1),  # data.test"]
    copy = tmp_path / 'copy.py'
    copy.write_text(result.stdout)
    options = {'lr_config.step': [20], 'data.test.flip': True}
    meant = lower(load_config(CONFIG, options))
    meant.warnings.clear()
    assert lower(load_config(copy)) == meant
    assert 'warning: lr_config.step: [20] is never reached in 12 epochs' in result.stderr


def test_origins():
    result = run('--origins', '--cfg-options', 'data.imgs_per_gpu=5')
    assert result.returncode == 0, result.stderr
    lines = [line.replace(f'{ROOT}/', '') for line in result.stdout.splitlines()]
    assert 'model.backbone.width = 18  # configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py:9' in lines
    assert "model.neck.type = 'HRFPN'  # configs/_base_/models/faster_rcnn_hrnetv2p.py:6" in lines
    assert 'data.imgs_per_gpu = 5  # --cfg-options' in lines
    assert "log_config.hooks[0].type = 'TextLoggerHook'  # configs/_base_/runtime.py:3" in lines
    assert not [line for line in lines if line.startswith(('model =', 'model.backbone ='))]


def test_a_mistake_is_one_line():
    result = run('--cfg-options', 'model.bakbone.width=32')
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        'error: model.bakbone, set by --cfg-options: there is no such key here; did you mean '
        "'backbone'?"
    )


@pytest.mark.parametrize('config', ['nonsense', 'configs/nonsense.py'])
def test_a_config_that_is_not_there_is_named_once(config):
    result = run(config=config)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith('error: ')
    assert line.count('nonsense') == 1
