"""Models of every task, made small, learn a few images of shapes by heart."""

import shutil
from pathlib import Path

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.data import collate
from hrdet.data.shapes import make_class_folders, make_label_maps, make_shapes
from hrdet.evaluation import CocoMetric
from hrdet.models import build_model
from hrdet.registry import build
from tests.models.toy_tasks import CHANNELS, make_small, small_backbone

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS, RATE = 90, 0.004


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, train=2, val=1, size=(64, 96))
    return root


def narrow(model: dict) -> None:
    """Half the channels after the backbone."""
    for key, value in model.items():
        if key.endswith('channels') and value == 64:
            model[key] = 32
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and key != 'backbone':
                narrow(part)


def small(name: str, shapes) -> dict:
    """A quickstart config with few blocks, channels and samples, on ``shapes``."""
    config = load_config(ROOT / f'configs/quickstart/{name}_hrnetv2p_w18_small.py')
    config.model.backbone = small_backbone()
    config.model.neck.in_channels = CHANNELS
    for split in (config.data.train, config.data.test):
        split.ann_file = str(shapes / 'annotations/instances_train.json')
        split.img_prefix = str(shapes / 'train')
        split.img_scale = (96, 64)
    config.data.train.flip_ratio = 0
    if 'seg_prefix' in config.data.train:
        config.data.train.seg_prefix = str(shapes / 'stuffthingmaps/train')
    narrow(config.model)
    rcnn = (config.get('train_cfg') or {}).get('rcnn') or []
    for stage_cfg in rcnn if isinstance(rcnn, list) else [rcnn]:
        stage_cfg.sampler.num = 12
    return config


@pytest.mark.parametrize(
    ('name', 'least'),
    [
        ('faster_rcnn', dict(bbox=0.5)),
        ('mask_rcnn', dict(bbox=0.5, segm=0.3)),
        ('cascade_rcnn', dict(bbox=0.5)),
        ('cascade_mask_rcnn', dict(bbox=0.5, segm=0.3)),
        ('htc', dict(bbox=0.5, segm=0.3)),
        ('fcos', dict(bbox=0.3)),
    ],
)
def test_two_images_are_learned(shapes, name, least):
    lowered = lower(small(name, shapes))
    train, test = build(lowered.train['dataset']), build(lowered.test['dataset'])
    torch.manual_seed(0)
    model = build_model(lowered, train.classes).train()
    batch = collate([train[i] for i in range(len(train))], size_divisor=32)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for i in range(ITERATIONS):
        optimizer.param_groups[0]['lr'] = RATE * min(1, (i + 1) / 10) * (1 - i / ITERATIONS)
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
    seen = collate([test[i] for i in range(len(test))], size_divisor=32)
    scores = CocoMetric(test, list(least))(list(zip(seen.metas, model.eval().predict(seen))))
    found = {kind: scores[f'{kind}_AP'] for kind in least}
    assert all(found[kind] >= wanted for kind, wanted in least.items()), found


def trained(config: dict, images: int, iterations: int, rate: float) -> tuple:
    """A model of a quickstart config with few blocks after training on all images at once.

    Returns the model in eval mode and what it predicts for these images, with their metas.
    """
    make_small(config.model)
    lowered = lower(config)
    train, test = build(lowered.train['dataset']), build(lowered.test['dataset'])
    assert len(train) == len(test) == images
    torch.manual_seed(0)
    model = build_model(lowered, train.classes).train()
    batch = collate([train[i] for i in range(images)])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for i in range(iterations):
        optimizer.param_groups[0]['lr'] = rate * min(1, (i + 1) / 10) * (1 - i / iterations)
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()
    seen = collate([test[i] for i in range(images)])
    evaluator = build(lowered.test['evaluator'], dataset=test)
    return evaluator(list(zip(seen.metas, model.eval().predict(seen))))


@pytest.mark.parametrize('photos', [False, True])
def test_a_classifier_learns_sixteen_images(tmp_path, request, photos):
    """Of generated shapes, or photographs of ants and bees."""
    config = load_config(ROOT / 'configs/quickstart/hrnet-w18-small_classification.py')
    if photos:
        config.model.head.num_classes = 2
        for folder in (request.getfixturevalue('data_dir') / 'hymenoptera/train').iterdir():
            (tmp_path / 'train' / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:8]:
                shutil.copy(file, tmp_path / 'train' / folder.name)
    else:
        make_class_folders(str(tmp_path), train=12, val=1, size=(96, 128))
        for file in sorted(tmp_path.glob('train/*/*.jpg'), key=lambda file: file.name)[16:]:
            file.unlink()
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.dataset.update(data_root=str(tmp_path), data_prefix='train')
        loader.dataset.pipeline = [
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(48, 48)),
            dict(type='PackInputs'),
        ]
    config.model.neck[0].out_channels = config.model.head.in_channels = 256
    assert trained(config, 16, 40, 0.002)['top1'] == 1


def test_a_segmentor_learns_sixteen_images(tmp_path):
    make_label_maps(tmp_path, train=16, val=1, size=(64, 64))
    config = load_config(ROOT / 'configs/quickstart/fcn_hr18s.py')
    root = str(tmp_path)
    for split in (config.data.train, config.data.test):
        split.data_root, split.img_dir, split.ann_dir = root, 'images/train', 'labels/train'
        split.classes = f'{root}/classes.txt'
    config.data.train.pipeline = [
        step
        for step in config.data.train.pipeline
        if step['type'] not in ('Resize', 'RandomCrop', 'RandomFlip', 'Pad')
    ]
    config.data.test.pipeline[1].img_scale = (64, 64)
    assert trained(config, 16, 70, 0.01)['mIoU'] >= 0.9
