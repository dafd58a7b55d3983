"""Small runs of classification and segmentation for the commands: generated data, fresh weights."""

import importlib.util
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.data.shapes import make_class_folders, make_label_maps
from hrdet.models import build_model
from hrdet.registry import build
from tests.models.toy_tasks import CHANNELS, small_backbone

ROOT = Path(__file__).resolve().parents[2]
PREPROCESS = dict(
    type='Preprocess', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], size_divisor=1
)
BACKBONE = small_backbone()
CLASSIFIER = dict(
    type='ImageClassifier',
    preprocess=PREPROCESS,
    backbone=BACKBONE,
    neck=[
        dict(type='HRFuseScales', in_channels=CHANNELS, out_channels=64),
        dict(type='GlobalAveragePooling'),
    ],
    head=dict(type='LinearClsHead', num_classes=None, in_channels=64),
)
SEGMENTOR = dict(
    type='EncoderDecoder',
    preprocess=PREPROCESS,
    backbone=BACKBONE,
    decode_head=dict(
        type='FCNHead',
        num_classes=None,
        in_channels=CHANNELS,
        channels=32,
        num_convs=1,
        kernel_size=1,
        concat_input=False,
        dropout_ratio=-1,
    ),
)


@dataclass
class Task:
    """A config file, and a checkpoint that fits it."""

    folder: Path
    config: Path
    checkpoint: Path
    data: Any  # the data set of its test


def load_tool(name):
    """A command as a module."""
    path = ROOT / 'tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command in this process; returns what it printed, or the message it ends with."""

    def run(name, *arguments):
        tool = load_tool(name)
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        capsys.readouterr()
        try:
            tool.main()
        except SystemExit as left:
            if left.code not in (0, None):
                return str(left.code) + capsys.readouterr().err
        return capsys.readouterr().out

    yield run
    # The log writes to what was standard output during the test.
    logging.getLogger('hrdet').handlers.clear()


def _task(folder, model, dataset, evaluator, crop, **test):
    """A config file and a checkpoint of fresh weights, for one data set in training and test."""
    transforms = [dict(type='ResizeEdge', scale=64), *crop]
    node = dataset | dict(transforms=transforms)
    split = dict(dataset=node, batch_size=2, num_workers=0)
    tested = split | dict(size_divisor=1, evaluator=evaluator)
    tested['dataset'] = node | dict(test_mode=True)
    tested |= test
    config = dict(
        language='lowered',
        model=model,
        train=split,
        val=tested,
        test=tested,
        training=dict(optimizer=dict(type='SGD', lr=0.01), max_epochs=1, log_interval=1),
        runtime=dict(work_dir=str(folder / 'work')),
    )
    path = folder / 'config.py'
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in config.items()))
    run = lower(load_config(path))
    data = build(run.test['dataset'])
    torch.manual_seed(0)
    network = build_model(run, data.classes)
    checkpoint = folder / 'weights.pth'
    torch.save(
        dict(state_dict=network.state_dict(), meta=dict(classes=list(data.classes))), checkpoint
    )
    return Task(folder, path, checkpoint, data)


@pytest.fixture(scope='session')
def classification(tmp_path_factory):
    folder = tmp_path_factory.mktemp('classification')
    train, _ = make_class_folders(str(folder / 'data'), 3, 1, (64, 80))
    for empty in Path(train).iterdir():
        if not any(empty.iterdir()):
            empty.rmdir()
    dataset = dict(type='ClassFolders', data_prefix=train)
    crop = [dict(type='CenterCrop', crop_size=64)]
    return _task(folder, CLASSIFIER, dataset, dict(type='Accuracy'), crop)


@pytest.fixture(scope='session')
def segmentation(tmp_path_factory):
    folder = tmp_path_factory.mktemp('segmentation')
    paths = make_label_maps(str(folder / 'data'), 4, 1, (64, 80))
    dataset = dict(
        type='LabelMapDataset',
        img_dir=paths.train_images,
        ann_dir=paths.train_maps,
        classes=paths.classes,
    )
    views = [
        [dict(type='ResizeEdge', scale=scale), dict(type='RandomFlip', ratio=flip)]
        for scale in (64, 96)
        for flip in (0.0, 1.0)
    ]
    tta = dict(
        transforms=[dict(type='AugmentedViews', views=views)],
        description='short edges of 64 and 96 pixels, each plain and mirrored',
    )
    return _task(folder, SEGMENTOR, dataset, dict(type='MeanIoU'), [], tta=tta)


@pytest.fixture(params=['classification', 'segmentation'])
def task(request):
    return request.getfixturevalue(request.param)


def read_json(path):
    return json.loads(Path(path).read_text())
