"""A run is refused before its first iteration where config, data and weights do not fit."""

import json
import logging
import os
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hrdet.apis import init_detector
from hrdet.checkpoints import CheckpointError, save_checkpoint, saved_palette
from hrdet.config import load_config, lower
from hrdet.data.shapes import make_shapes
from hrdet.engine.build import (
    TestOptions,
    TrainOptions,
    _check_classes,
    _meta,
    _whole,
    build_tester,
    build_trainer,
)
from hrdet.models import build_model
from hrdet.registry import ConfigError

CONFIG = (
    Path(__file__).resolve().parents[2] / 'configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py'
)


@pytest.fixture
def config(tmp_path):
    paths = make_shapes(str(tmp_path / 'shapes'), train=4, val=2, size=(64, 96))
    return load_config(
        CONFIG,
        {
            'data.train.ann_file': paths.train_ann,
            'data.train.img_prefix': paths.train_images,
            'data.val.ann_file': paths.val_ann,
            'data.val.img_prefix': paths.val_images,
            'work_dir': str(tmp_path / 'run'),
        },
    )


def test_validation_with_the_classes_in_another_order_is_refused(config):
    file = Path(config.data.val.ann_file)
    content = json.loads(file.read_text())
    names = [category['name'] for category in content['categories']]
    for category, name in zip(content['categories'], reversed(names)):
        category['name'] = name
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r'the model is trained on .* set classes='):
        build_trainer(config, TrainOptions(), force_cpu=True)


def test_a_wrong_number_of_classes_is_refused(config):
    config.model.bbox_head.num_classes = 81
    with pytest.raises(ConfigError, match=r'80 classes.* the data set has 6 classes'):
        build_trainer(config, TrainOptions(), force_cpu=True)


def test_missing_pretrained_weights_say_what_to_fetch(config):
    config.model.pretrained = 'nowhere/hrnetv2_w18_imagenet_pretrained.pth'
    with pytest.raises(
        FileNotFoundError, match=r'(?s)hrnetv2_w18.*timm/hrnet_w18\.ms_aug_in1k.*pretrained=None'
    ):
        build_trainer(config, TrainOptions(), force_cpu=True)


def test_float16_on_a_cpu_is_slow_and_said_to_be(config, capsys):
    config.amp = 'float16'
    build_trainer(config, TrainOptions(), force_cpu=True)
    assert "on a CPU; use amp='bfloat16'" in ''.join(capsys.readouterr())


def test_what_makes_a_run_worthless_is_said(config, capsys):
    config.model.backbone.norm_eval = True
    config.lr_config.warmup_iters = 500
    train = config.data.train
    config.data.val.update(ann_file=train.ann_file, img_prefix=train.img_prefix)
    trainer = build_trainer(config, TrainOptions(), force_cpu=True)
    told = ''.join(capsys.readouterr())
    assert 'frozen norms of the backbone have no statistics' in told
    fifth = f'is longer than a fifth of the run of {trainer.max_iters}: shortened to 1'
    assert f'a warm-up of 500 iterations {fifth}' in told
    assert '4 of 4 validation images are training images' in told


def test_a_run_without_such_doubts_says_nothing(config, capsys):
    config.lr_config.warmup_iters = 1
    build_trainer(config, TrainOptions(), force_cpu=True)
    told = ''.join(capsys.readouterr())
    assert not any(word in told for word in ('frozen norms', 'a fifth', 'training images'))


def test_coco_names_with_underscores_are_the_same_names():
    """The 2019 line's checkpoints say 'traffic_light', COCO's annotations 'traffic light'."""
    _check_classes(('person', 'traffic_light'), ('person', 'traffic light'), 'a checkpoint')
    with pytest.raises(ConfigError, match='a checkpoint is trained on'):
        _check_classes(('traffic_light', 'person'), ('person', 'traffic light'), 'a checkpoint')


@pytest.mark.parametrize(
    ('channels', 'classes', 'fits'), [(64, 'abcd', True), (32, 'abcdef', False)]
)
def test_load_from_takes_the_same_model_with_other_classes_only(
    config, tmp_path, channels, classes, fits
):
    other = deepcopy(config)
    for path, value in {
        'model.neck.out_channels': channels,
        'model.rpn_head.in_channels': channels,
        'model.bbox_roi_extractor.out_channels': channels,
        'model.bbox_head.in_channels': channels,
    }.items():
        other.merge_from_dict({path: value})
    saved = build_model(lower(other), tuple(classes))
    torch.save(saved.state_dict(), tmp_path / 'weights.pth')
    config.total_epochs = 1
    options = TrainOptions(load_from=str(tmp_path / 'weights.pth'))
    if fits:
        trainer = build_trainer(config, options, force_cpu=True)
        loaded = trainer.model.state_dict()['neck.fpn_convs.0.conv.weight']
        assert torch.equal(loaded, saved.state_dict()['neck.fpn_convs.0.conv.weight'])
    else:
        with pytest.raises(CheckpointError, match=r'name the file in model\.pretrained'):
            build_trainer(config, options, force_cpu=True)


def test_a_link_to_nothing_is_not_a_new_run(config):
    work_dir = Path(config.work_dir)
    work_dir.mkdir()
    (work_dir / 'latest.pth').symlink_to('gone.pth')
    with pytest.raises(CheckpointError, match=r'latest\.pth: a link to gone\.pth'):
        build_trainer(config, TrainOptions(), force_cpu=True)


@pytest.mark.parametrize('damage', ['cut', 'flipped'])
def test_a_damaged_latest_gives_way_to_the_newest_whole_checkpoint(tmp_path, caplog, damage):
    logging.getLogger('hrdet').propagate = True
    content = dict(state_dict={'a': torch.ones(1000)}, meta={})
    for number, name in enumerate(('epoch_1', 'epoch_2', 'epoch_10', 'latest')):
        save_checkpoint(tmp_path / f'{name}.pth', content)
        os.utime(tmp_path / f'{name}.pth', (number, number))
    latest = tmp_path / 'latest.pth'
    assert _whole(latest) == str(latest)
    for path in (latest, tmp_path / 'epoch_10.pth'):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) // 2] if damage == 'cut' else data)
        os.utime(path, (5, 5))
    assert _whole(latest) == str(tmp_path / 'epoch_2.pth')
    assert 'latest.pth: damaged' in caplog.text
    assert 'epoch_2.pth is resumed from instead' in caplog.text
    for path in tmp_path.glob('epoch_*.pth'):
        path.write_bytes(b'PK')
    with pytest.raises(CheckpointError, match=r'latest\.pth: damaged.*--no-auto-resume'):
        _whole(latest)


HOOK = """
from hrdet.engine import Hook
from hrdet.registry import register

@register()
class CountBatches(Hook):
    def __init__(self, start):
        self.count = start

    def after_iteration(self, trainer, batch, losses):
        self.count += 1
        if self.count == 12:
            trainer.stop('enough')
"""


def test_hooks_of_a_config(config, tmp_path, monkeypatch):
    (tmp_path / 'my_hooks_of_a_test.py').write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    changes = dict(
        custom_imports=dict(imports=['my_hooks_of_a_test']),
        custom_hooks=[dict(type='CountBatches', start=11)],
        total_epochs=1,
    )
    config = load_config({**config.to_dict(), **changes})
    config.data.workers_per_gpu = 0
    trainer = build_trainer(config, TrainOptions(validate=False), force_cpu=True)
    (hook,) = trainer.hooks
    assert hook.count == 11


def test_data_that_a_run_was_not_trained_on_are_refused(config, tmp_path):
    """The same folder, another data set of the same size with other classes."""
    config.data.workers_per_gpu = 0
    trainer = build_trainer(config, TrainOptions(validate=False), force_cpu=True)
    trainer.checkpoints.save(trainer)
    trainer.folder.release()
    file = Path(config.data.train.ann_file)
    content = json.loads(file.read_text())
    content['categories'][0]['name'] = 'cup'
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r'trained on the classes .*cup.*--no-auto-resume'):
        build_trainer(config, TrainOptions(validate=False), force_cpu=True)


def test_a_backbone_from_an_address_and_what_was_taken(
    config, server, tmp_path, monkeypatch, capsys
):
    """Of an official classifier's file, without its head; it is fetched once."""
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'cache'))
    config.model.pretrained = None
    backbone = build_trainer(config, TrainOptions(), force_cpu=True).model.backbone.state_dict()
    weights = {key: torch.randn_like(value) if value.is_floating_point() else value
               for key, value in backbone.items()}  # fmt: skip
    torch.save(weights | {'classifier.bias': torch.zeros(9)}, tmp_path / 'a.pth')
    server.files['/imagenet.pth'] = (tmp_path / 'a.pth').read_bytes()
    config.model.pretrained = f'{server.url}/imagenet.pth'
    for _ in range(2):
        capsys.readouterr()
        trainer = build_trainer(config, TrainOptions(), force_cpu=True)
        taken = trainer.model.backbone.state_dict()
        assert all(torch.equal(taken[key], value) for key, value in weights.items())
        log = capsys.readouterr().out
        assert f'HRNet-Image-Classification, {len(weights)} entries loaded (1 dropped)' in log
        assert 'in the file and not needed (1): head.fc.bias' in log
    assert len(server.requests) == 1


def test_weights_to_start_from_at_an_address(config, server, tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'cache'))
    config.model.pretrained = None
    trainer = build_trainer(config, TrainOptions(), force_cpu=True)
    torch.save(trainer.model.state_dict(), tmp_path / 'a.pth')
    server.files['/detector.pth'] = (tmp_path / 'a.pth').read_bytes()
    options = TrainOptions(load_from=f'{server.url}/detector.pth')
    other = build_trainer(config, options, force_cpu=True).model.state_dict()
    assert all(torch.equal(other[key], v) for key, v in trainer.model.state_dict().items())
    config.data.test = config.data.val
    tester = build_tester(config, f'{server.url}/detector.pth', TestOptions(), force_cpu=True)
    other = tester.model.state_dict()
    assert all(torch.equal(other[key], v) for key, v in trainer.model.state_dict().items())


def test_checkpoints_tell_the_colours_of_a_segmentor_s_classes(config):
    train_set = SimpleNamespace(classes=('a', 'b'), palette=((1, 2, 3), (4, 5, 6)), report='')
    meta = _meta(config, lower(config), train_set, None)
    assert saved_palette({'state_dict': {'a': torch.zeros(1)}, 'meta': meta}) == train_set.palette


def test_every_tool_tells_of_a_doubtful_config(config, tmp_path, capsys):
    """Training, testing and the Python API, once each."""
    norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=False)
    for part in ('train', 'val', 'test'):
        config.data[part].img_norm_cfg = norm
    config.data.test.ann_file, config.data.test.img_prefix = (
        config.data.val.ann_file,
        config.data.val.img_prefix,
    )
    trainer = build_trainer(config, TrainOptions(), force_cpu=True)
    path = tmp_path / 'a.pth'
    save_checkpoint(path, dict(state_dict=trainer.model.state_dict(), meta=trainer.meta))
    tools = dict(
        training=lambda: build_trainer(config, TrainOptions(), force_cpu=True),
        testing=lambda: build_tester(config, str(path), TestOptions(), force_cpu=True),
        api=lambda: init_detector(config, str(path), 'cpu'),
    )
    trainer.folder.release()
    for name, use in tools.items():
        capsys.readouterr()
        use()
        shown = capsys.readouterr()
        found = (shown.out + shown.err).count('WARNING data.train.img_norm_cfg: to_rgb=False')
        assert found == 1, name
