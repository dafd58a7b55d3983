"""Segmentors and their data sets: what is supported, and what is said of the rest."""

import json

import pytest
import torch

import hrdet.models  # noqa: F401  registers its types
from hrdet.config import Node, load_config, lower
from hrdet.config.lower.segmentation import DATASETS, segmentor
from hrdet.config.node import as_nodes, read
from hrdet.data.datasets import LabelMapDataset
from hrdet.models.heads.fcn_head import FCNHead
from hrdet.registry import ConfigError, build, register
from tests.config.published import CONFIGS


@pytest.fixture
def config() -> dict:
    return load_config(CONFIGS / 'hrnet/fcn_hr18_512x1024_40k_cityscapes.py').to_dict()


@pytest.mark.parametrize('width', ['hr18s', 'hr18', 'hr48'])
def test_models_have_the_entries_of_the_published_ones(reference_dir, width):
    name = f'fcn_{width}_512x1024_40k_cityscapes'
    record = json.loads((reference_dir / f'manifests/tasks/mmseg_fcn_{width}.json').read_text())
    with torch.device('meta'):
        model = build(lower(load_config(CONFIGS / f'hrnet/{name}.py')).model)
    found = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert list(map(list, found.items())) == record['state_dict']
    assert all(module.fuse_mode == 'bilinear' for module in modules_that_fuse(model))


def modules_that_fuse(model: torch.nn.Module) -> list:
    found = [module for module in model.modules() if hasattr(module, 'fuse_mode')]
    assert found
    return found


def test_data_sets_are_those_of_the_package():
    known = {kind.__name__: kind for kind in LabelMapDataset.__subclasses__()}
    known['BaseSegDataset'] = LabelMapDataset
    known = {name: kind for name, kind in known.items() if kind.__module__.startswith('hrdet.')}
    assert DATASETS.keys() == known.keys()
    for name, kind in known.items():
        assert DATASETS[name] == (kind.row is not None and kind.row.reduce_zero_label), name


def test_loss_and_mining_are_arguments_of_the_head(config):
    config['model']['decode_head'] |= dict(
        num_classes=2,
        loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[1.0, 2.0], avg_non_ignore=True, loss_weight=0.5
        ),
        sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=1000),
    )
    head = build(lower(config).model['decode_head'])
    assert isinstance(head, FCNHead)
    assert head.class_weight.tolist() == [1.0, 2.0]
    assert (head.loss_weight, head.avg_non_ignore) == (0.5, True)
    assert head.hard_pixel_mining == dict(thresh=0.7, min_kept=1000)


def test_the_weighted_mean_of_later_releases(config):
    model = as_nodes(config['model'], 'model')
    model = Node('model', {key: value for key, value in model.items() if key != 'pretrained'})
    options = dict(preprocess=Node('', type='Preprocess'), weighted_mean=True)
    assert 'avg_class_weight' not in read(segmentor, model, 'model', **options)['decode_head']
    model['decode_head']['loss_decode']['class_weight'] = [1.0] * 19
    assert read(segmentor, model, 'model', **options)['decode_head']['avg_class_weight'] is True


def test_windows(config):
    config['model']['test_cfg'] = dict(mode='slide', crop_size=(480, 320), stride=(100, 50))
    model = lower(config).model
    assert (model['crop_size'], model['stride']) == ((480, 320), (100, 50))
    config['model']['test_cfg'] = dict(mode='slide', crop_size=(480, 320))
    with pytest.raises(ConfigError, match=r"model\.test_cfg\.stride: mode='slide' needs this key"):
        lower(config)


EXAMPLE = 'as in configs/hrnet/fcn_hr18_512x1024_40k_cityscapes.py'


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        ('auxiliary_head', dict(type='FCNHead'), rf'without it only, {EXAMPLE}: set model.auxil'),
        ('neck', dict(type='FPN'), rf'segmentors without it only, {EXAMPLE}'),
        (
            'decode_head.type',
            'OCRHead',
            rf"no decode head 'OCRHead'; supported: FCNHead, {EXAMPLE}",
        ),
        ('backbone.type', 'ResNetV1c', rf"no backbone 'ResNetV1c'.*{EXAMPLE}"),
        ('decode_head.input_transform', None, "None is not one of 'resize_concat'"),
        ('decode_head.in_index', (1, 3), r'the head takes every branch, \[0, 1, 2, 3\]'),
        ('decode_head.align_corners', True, 'True is not one of False'),
        ('decode_head.loss_decode', [dict(type='DiceLoss')], 'not a list: the first one'),
        ('decode_head.loss_decode.type', 'DiceLoss', "'DiceLoss' is not one of 'CrossEntropyLoss'"),
        ('decode_head.chanels', 3, "there is no such key here; did you mean 'channels'"),
        ('decode_head.ignore_index', 0, '0 is not one of 255'),
        ('test_cfg.mode', 'slides', "'slides' is not one of 'whole', 'slide'"),
    ],
)
def test_what_a_model_does_not_have(config, place, value, message):
    *sections, key = place.split('.')
    section = config['model']
    for name in sections:
        section = section[name]
    section[key] = value
    with pytest.raises(ConfigError, match=rf'^model\.{place}.*{message}'):
        lower(config).check()


def test_a_head_of_ones_own(config):
    @register('HeadOfMyOwn')
    class HeadOfMyOwn(torch.nn.Module):
        def __init__(self, num_classes: int, depth: int):
            super().__init__()
            self.num_classes = num_classes

    config['model']['decode_head'] = dict(type='HeadOfMyOwn', depth=3)
    head = lower(config).check().model['decode_head']
    assert head == dict(type='HeadOfMyOwn', depth=3, num_classes=None)


def split(config: dict, name: str = 'train') -> dict:
    return config['data'][name]


def test_a_data_set_of_ones_own(config):
    """CustomDataset is BaseSegDataset; lists of folders are joined, a single folder is for all."""
    split(config).update(
        type='CustomDataset',
        img_dir='images',
        ann_dir=['a', 'b'],
        classes=('cat', 'dog'),
        palette=[[0, 0, 0], [9, 9, 9]],
        img_suffix='.jpg',
        reduce_zero_label=True,
    )
    dataset = lower(config).check().train['dataset']
    assert dataset['type'] == 'ConcatDataset'
    parts = dataset['datasets']
    assert [(part['img_dir'], part['ann_dir']) for part in parts] == [
        ('images', 'a'), ('images', 'b')
    ]  # fmt: skip
    assert {part['type'] for part in parts} == {'BaseSegDataset'}
    assert parts[0]['reduce_zero_label'] is True
    assert parts[0]['classes'] == ('cat', 'dog')


def test_zero_labels_follow_from_the_data_set_or_the_pipeline(config):
    assert 'reduce_zero_label' not in lower(config).train['dataset']
    split(config)['pipeline'][1]['reduce_zero_label'] = True
    assert lower(config).train['dataset']['reduce_zero_label'] is True
    split(config)['reduce_zero_label'] = False
    with pytest.raises(ConfigError, match='reduce_zero_label: False, but the pipeline says'):
        lower(config)
    split(config).update(type='ADE20KDataset', reduce_zero_label=True)
    assert 'reduce_zero_label' not in lower(config).train['dataset'], 'what it does anyway'


def step(config: dict, kind: str, name: str = 'train') -> dict:
    (found,) = [s for s in split(config, name)['pipeline'] if s['type'] == kind]
    return found


def test_scales(config):
    step(config, 'Resize').update(img_scale=[(64, 32), (96, 48)], ratio_range=None)
    assert lower(config).train['dataset']['transforms'][0] == dict(
        type='Resize', scales=[(64, 32), (96, 48)], multiscale_mode='range', keep_ratio=True
    )
    step(config, 'Resize').update(img_scale=(64, 32), keep_ratio=False)
    assert lower(config).train['dataset']['transforms'][0] == dict(
        type='Resize', scales=[(64, 32)], multiscale_mode='value', keep_ratio=False
    )


def test_padding_before_normalising_has_a_colour(config):
    steps = split(config)['pipeline']
    steps[6], steps[7] = steps[7], steps[6]
    steps[6]['pad_val'] = 30
    assert lower(config).train['dataset']['transforms'][-1] == dict(
        type='PadToSize', size=(512, 1024), pad_val=30
    )


@pytest.mark.parametrize(
    ('kind', 'change', 'message'),
    [
        ('RandomCrop', dict(ignore_index=0), r'pipeline\[3\]\.ignore_index: 255 is ignored'),
        ('Pad', dict(pad_val=3), r'pipeline\[7\]\.pad_val: 0, the mean colour, pads'),
        ('Pad', dict(seg_pad_val=0), r'pipeline\[7\]\.seg_pad_val: labels of the padding'),
        ('Pad', dict(size_divisor=32), r'pipeline\[7\]\.size_divisor: 32 is not None'),
        ('RandomFlip', dict(direction='vertical'), r'pipeline\[4\]\.direction: images are mirr'),
        ('RandomFlip', dict(type='RandomRotate'), r"pipeline\[4\]\.type: hrdet has no step 'Rand"),
        ('Normalize', dict(mean=[1, 2]), r'pipeline\[6\]\.mean: .* is not a list of three numbers'),
        ('Normalize', dict(mean=[1, 2, 3]), r'pipeline\[6\] and .* differ in mean'),
        ('Resize', dict(img_scale=None), r'pipeline\[2\]\.img_scale: must be a pair'),
        ('LoadImageFromFile', dict(color_type='grayscale'), "is not one of 'color'"),
        (
            'LoadImageFromFile',
            dict(file_client_args=dict(backend='petrel')),
            r'pipeline\[0\]\.file_client_args: files are read from folders',
        ),
        ('PhotoMetricDistortion', dict(hue=3), r'pipeline\[5\]\.hue: there is no such key here'),
    ],
)
def test_what_a_pipeline_does_not_have(config, kind, change, message):
    step(config, kind).update(change)
    with pytest.raises(ConfigError, match=message):
        lower(config).check()


def test_what_a_data_set_does_not_have(config):
    split(config)['type'] = 'COCOStuffDataset'
    with pytest.raises(ConfigError, match=r"no data set 'COCOStuffDataset'.*type='BaseSegDataset'"):
        lower(config)
    split(config).update(type='CityscapesDataset', img_sufix='.jpg')
    with pytest.raises(ConfigError, match=r"img_sufix: .* did you mean 'img_suffix'"):
        lower(config).check()
    del split(config)['img_sufix']
    split(config).update(img_dir=['a', 'b'], ann_dir=['a', 'b', 'c'])
    with pytest.raises(ConfigError, match='img_dir has 2 entries, ann_dir has 3 entries'):
        lower(config)
