"""Segmentors of mmsegmentation 1.x as recorded, and mistakes in their configs."""

import copy
import re

import pytest

import hrdet.data
import hrdet.evaluation
import hrdet.models  # noqa: F401  all register their types
from hrdet.config import load_config, lower
from hrdet.registry import ConfigError
from tests.config.published import CONFIGS, MMSEG, recorded_configs


@pytest.fixture(scope='module')
def published(reference_dir) -> dict:
    return recorded_configs(reference_dir, 'mmseg1_configs')


def earlier(name: str) -> str:
    """The name of a config before 1.0: fcn_hr18_4xb2-40k_cityscapes-512x1024."""
    pattern = r'(fcn_hr\w+)_4xb\d-(\d+k)_(.*)-(\d+x\d+)'
    model, length, data, size = re.fullmatch(pattern, name).groups()
    data = data.replace('-', '_')
    prefix = '4x4_' if data in ('vaihingen', 'isaid') else ''
    return f'{model}_{prefix}{size}_{length}_{data}'


def test_names(published):
    assert {earlier(name) for name in published} == set(MMSEG)


@pytest.fixture(scope='module')
def by_earlier_name(published) -> dict:
    return {earlier(name): config for name, config in published.items()}


@pytest.mark.parametrize('name', MMSEG)
def test_a_recorded_config_is_the_shipped_one(by_earlier_name, name):
    """Model, data sets, evaluation and training, but for what the releases do differently."""
    theirs = lower(by_earlier_name[name]).check()
    ours = lower(load_config(CONFIGS / f'hrnet/{name}.py'))
    assert theirs.model == ours.model
    black = 'voc12aug' in name  # 1.x pads images before they are normalised, and again after
    assert without_black_padding(theirs.train['dataset'], black) == ours.train['dataset']
    for split in ('val', 'test'):
        for part in ('dataset', 'batch_size', 'evaluator'):
            assert getattr(theirs, split)[part] == getattr(ours, split)[part]
    assert theirs.train['batch_size'] == ours.train['batch_size']
    # mmengine's polynomial reaches its end one iteration before mmcv's.
    (factor,), (old_factor,) = theirs.training.schedule, ours.training.schedule
    assert factor | dict(total_iters=factor['end']) == old_factor | dict(begin=0)
    for field in ('optimizer', 'max_iters', 'val_interval', 'checkpoint', 'log_interval'):
        assert getattr(theirs.training, field) == getattr(ours.training, field), field
    for field in ('pretrained', 'cudnn_benchmark', 'backend', 'load_from'):
        assert getattr(theirs.runtime, field) == getattr(ours.runtime, field), field
    assert [text.split(':')[0] for text in theirs.warnings] == ['auto_scale_lr']


def without_black_padding(dataset, black: bool):
    dataset = copy.deepcopy(dataset)
    for part in dataset.get('datasets', [dataset]):
        padding = [t for t in part['transforms'] if t['type'] == 'PadToSize' and 'pad_val' in t]
        assert [t['pad_val'] for t in padding] == [0] * black
        part['transforms'] = [t for t in part['transforms'] if t not in padding]
    return dataset


def test_test_time_augmentation_multiplies_the_size_of_the_image(published):
    """12 views: each ratio of the image's own size, and its mirror image."""
    run = lower(published['fcn_hr18_4xb2-40k_cityscapes-512x1024'])
    assert run.use_tta() == (
        '12 views of each image: 0.5, 0.75, 1, 1.25, 1.5, 1.75 times the size '
        'of the image, as in mmsegmentation 1.x; each plain and mirrored'
    )
    (views,) = run.check().test['dataset']['transforms']
    factors = [view[0]['factor'] for view in views['views']]
    assert factors[::2] == factors[1::2] == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    assert [len(view) for view in views['views']] == [1, 2] * 6


@pytest.fixture
def config(published) -> dict:
    config = copy.deepcopy(published['fcn_hr18_4xb2-40k_cityscapes-512x1024'])
    del config['data_preprocessor']  # which repeats the model's
    return config


def change(config: dict, path: str, value) -> dict:
    *sections, key = [int(part) if part.isdigit() else part for part in path.split('.')]
    section = config
    for part in sections:
        section = section[part]
    section[key] = value
    return config


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        ('model.backbone.type', 'ResNetV1c', 'no backbone .*fcn_hr18_512x1024_40k_cityscapes'),
        ('model.decode_head.type', 'OCRHead', "no decode head 'OCRHead'; supported: FCNHead"),
        ('model.data_preprocessor.pad_val', 114, 'one of 0'),
        ('model.data_preprocessor.sizes', (1, 1), "did you mean 'size'"),
        ('train_dataloader.dataset.type', 'KITTIDataset', 'supported: BaseSegDataset, Cityscapes'),
        ('train_dataloader.dataset.img_dir', 'x', 'it is data_prefix.img_path'),
        ('train_dataloader.dataset.data_prefix.ann_path', 'x', "did you mean 'img_path'"),
        ('train_dataloader.dataset.pipeline.2.type', 'RandomRotate', 'supported: LoadImage'),
        ('train_dataloader.dataset.pipeline.2.img_scale', (1, 1), 'has scale'),
        ('train_dataloader.dataset.pipeline.4.direction', 'vertical', 'left to right only'),
        (
            'val_dataloader.dataset.pipeline.1.scale_factor',
            0.5,
            'scale, a pair .*, or scale_factor',
        ),
        ('val_evaluator.iou_metrics', ['mAP'], "'mIoU', 'mDice', 'mFscore'"),
        ('val_evaluator.leave_out', ['car'], "did you mean 'left_out'"),
        ('val_evaluator.type', 'CityscapesMetric', 'there is IoUMetric'),
        ('tta_model.type', 'DetTTAModel', 'SegTTAModel'),
        ('train_cfg.max_epochs', 3, 'counted in iterations'),
    ],
)
def test_mistakes(config, path, value, message):
    """Each names its place and what to write."""
    with pytest.raises(ConfigError, match=message) as caught:
        lower(change(config, path, value)).check()
    named = re.sub(r'\[\d+\]', '', str(caught.value).split(':')[0])
    assert named.startswith('.'.join(part for part in path.split('.')[:2] if not part.isdigit()))


def test_folders_of_ones_own(config):
    dataset = config['train_dataloader']['dataset']
    dataset |= dict(
        type='BaseSegDataset',
        ann_file='train.txt',
        metainfo=dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]]),
        img_suffix='.jpg',
    )
    found = lower(config).check().train['dataset']
    assert (found['split'], found['img_suffix']) == ('train.txt', '.jpg')
    assert (found['classes'], found['palette']) == (('a', 'b'), [[0, 0, 0], [9, 9, 9]])


def test_classes_that_the_means_leave_out(config):
    plain = lower(config).test['evaluator']
    assert 'left_out' not in plain
    for value in (['car', 'sky'], 'car'):
        config['test_evaluator']['left_out'] = value
        expected = plain | dict(left_out=['car', 'sky'] if isinstance(value, list) else ['car'])
        assert lower(config).check().test['evaluator'] == expected


def test_the_preprocessor_of_the_model_is_taken(published):
    """A file of mmsegmentation has it twice: as a variable, and in its model."""
    config = copy.deepcopy(published['fcn_hr18_4xb2-40k_cityscapes-512x1024'])
    config['model']['data_preprocessor']['size'] = (64, 64)
    run = lower(config)
    assert run.train['dataset']['transforms'][-1]['size'] == (64, 64)
    assert any(text.startswith('data_preprocessor: images are prepared') for text in run.warnings)
