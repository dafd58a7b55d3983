"""The configs that are shipped, and those of the releases, lower, build and mean the same."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import hrdet.data
import hrdet.losses
import hrdet.matching
import hrdet.models  # noqa: F401  all register their types
from hrdet.config import Lowered, load_config, lower, with_num_classes
from hrdet.engine.optimizer import build_optimizer
from hrdet.registry import ConfigError, build

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / 'configs').glob('[!_]*/*.py'))
RELEASE = ROOT / 'configs/hrnet'

# The Faster R-CNN rows of the release's table, and two of its files that are not in it.
NAMES = [
    *(f'w{w}_{epochs}' for w in (18, 32, 40, 48) for epochs in ('1x', '2x')),
    'w18_syncbn_1x',
    *(f'w{w}_syncbn_mstrain_{epochs}' for w in (18, 32) for epochs in ('1x', '2x')),
    'w18_syncbn_randresizecrop_1x',
    'w18_syncbn_randresizecrop_2x',
    'w18_randresizecrop_1x',
    'w18_randresizecrop_2x',
]
RECORDED = [name for name in NAMES if not name.startswith('w48')]


def release_record(reference_dir: Path, name: str) -> dict:
    file = reference_dir / f'manifests/hrnet_release/faster_rcnn_hrnetv2p_{name}.json'
    return json.loads(file.read_text())


def test_every_row_is_there():
    assert {p.stem for p in RELEASE.glob('*.py')} == {f'faster_rcnn_hrnetv2p_{n}' for n in NAMES}


def test_the_list_of_the_release_is_complete(reference_dir):
    files = (reference_dir / 'manifests/hrnet_release').glob('faster_rcnn_*.json')
    assert {p.stem for p in files} == {f'faster_rcnn_hrnetv2p_{n}' for n in RECORDED}


@pytest.mark.parametrize('path', SHIPPED, ids=lambda p: p.stem)
def test_shipped_configs_lower_without_a_warning(path):
    config = load_config(path)
    lowered = lower(config)
    lowered.check_trainable()
    assert lowered.warnings == []
    assert lowered.auto_scale_lr['enable']
    assert Path(lowered.work_dir).parent == Path('work_dirs')


@pytest.mark.parametrize('name', RECORDED)
def test_configs_of_the_release_build_unchanged(reference_dir, name):
    record = release_record(reference_dir, name)
    model = build(lower(record['config']).model)
    built = sum(p.numel() for p in model.parameters())
    background = 4 * (1024 + 1)  # deltas of the background, which hrdet does not carry along
    assert built == record['num_params_total'] - background


def stages_of(backbone: dict) -> tuple:
    """Channels, modules and blocks of HRNet's four stages, from ``extra`` or from ``width``."""
    if 'extra' in backbone:
        stages = [backbone['extra'][f'stage{i}'] for i in (1, 2, 3, 4)]
        return tuple(
            (s['num_channels'], s['num_modules'], s['num_blocks'], s['block']) for s in stages
        )
    widths = [backbone['width'] * 2**i for i in range(4)]
    stages = [([64], 1, [4], 'BOTTLENECK')]
    for branches, modules in ((2, 1), (3, 4), (4, 3)):
        stages.append((widths[:branches], modules, [4] * branches, 'BASIC'))
    return tuple(stages)


def meaning(lowered: Lowered, classes: int) -> dict:
    """What a config means, paths and worker processes aside, in whichever way it is written."""
    values = {name: copy.deepcopy(getattr(lowered, name)) for name in Lowered.__slots__}
    model = values['model'] = with_num_classes(values['model'], classes)
    kind = model['backbone']['type'].replace('HighResolutionNet', 'HRNet')
    model['backbone'] = (kind, stages_of(model['backbone']))
    rate, batch = values['optimizer'].pop('lr'), values.pop('auto_scale_lr')['base_batch_size']
    # Its learning rate is for 4 GPUs x 2 images where it is 0.01, and for 8 x 2 where it is 0.02.
    values['lr_per_image'] = rate / (batch or {0.01: 8, 0.02: 16}[rate])
    for split in ('train', 'val', 'test'):
        dataset = values[f'{split}_dataset']
        for key in ('type', 'ann_file', 'img_prefix'):
            del dataset[key]
        del values[f'{split}_loader']['num_workers']
    for name in ('pretrained', 'work_dir', 'warnings'):
        del values[name]
    return values


def equal(ours, theirs) -> bool:
    """Equality that does not tell lists from tuples."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize('name', RECORDED)
def test_shipped_configs_mean_what_the_release_means(reference_dir, name):
    """Images in folders instead of zip files, both seen as RGB by the model."""
    record = release_record(reference_dir, name)
    theirs = meaning(lower(record['config']), 80)
    if name == 'w18_randresizecrop_2x':
        # The release's file of this name is its 1x file with another work_dir.
        assert theirs['max_epochs'] == 12
        theirs['max_epochs'] = 24
        theirs['schedule'][1]['milestones'] = [20, 23]
    ours = meaning(lower(load_config(RELEASE / f'faster_rcnn_hrnetv2p_{name}.py')), 80)
    different = {key for key in theirs if not equal(ours[key], theirs[key])}
    assert not different, {key: (ours[key], theirs[key]) for key in different}


def mmdet1_config(reference_dir: Path, width: int) -> tuple[dict, dict]:
    """A Faster R-CNN config of mmdetection 1.x, and the record it is from."""
    file = reference_dir / f'manifests/mmdet1/faster_rcnn_hrnetv2p_w{width}_1x.json'
    record = json.loads(file.read_text())
    sections = {key: record[key] for key in ('model', 'train_cfg', 'test_cfg')}
    return sections | record['config_other'], record


@pytest.mark.parametrize('width', [18, 32, 40, 48])
def test_configs_of_mmdetection_1_build_unchanged(reference_dir, width):
    config, record = mmdet1_config(reference_dir, width)
    built = sum(p.numel() for p in build(lower(config).model).parameters())
    assert built == record['num_params_total'] - 4 * (1024 + 1)


OTHERS = [
    p for f in ('quickstart', 'coco_tiny', 'bccd') for p in (ROOT / 'configs' / f).glob('*.py')
]


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: path.stem)
def test_the_other_configs_build(path):
    lowered = lower(load_config(path))
    model = build(with_num_classes(lowered.model, 3))
    assert model.roi_head.bbox_head.num_classes == 3
    for split in ('train', 'val', 'test'):
        build(getattr(lowered, f'{split}_dataset')['transforms'])


def documented(start: str) -> str:
    """The Python block of docs/config.md that begins so."""
    blocks = (ROOT / 'docs/config.md').read_text().split('```python\n')[1:]
    (block,) = [b.split('```')[0] for b in blocks if b.startswith(start)]
    return block


@pytest.mark.parametrize(
    ('start', 'base'),
    [
        ("_base_ = './", RELEASE),
        ("_base_ = '../hrnet/", ROOT / 'configs/bccd'),
        ('train_cfg', RELEASE),
        ('data = dict(  # "Default"', RELEASE),
        ('data = dict(  # "ResizeCrop"', RELEASE),
    ],
)
def test_examples_of_the_manual(tmp_path, start, base):
    text = documented(start)
    if '_base_' not in text:
        text = "_base_ = './faster_rcnn_hrnetv2p_w18_1x.py'\n" + text
    text = text.replace("_base_ = '", f"_base_ = '{base}/")
    (tmp_path / 'example.py').write_text(text)
    lowered = lower(load_config(tmp_path / 'example.py'))
    lowered.check_trainable()
    assert lowered.warnings == []


def key_paths(value, path: tuple = ()) -> Iterator[tuple]:
    """The path of every key of nested dicts and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from key_paths(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from key_paths(item, (*path, i))


def misspelt(config: dict, path: tuple) -> dict:
    config = copy.deepcopy(config)
    place = config
    for key in path[:-1]:
        place = place[key]
    place[f'{path[-1]}x'] = place.pop(path[-1])
    return config


def built(config: dict, with_backbone: bool) -> None:
    """Lower a config and build all its parts that check arguments and are quick to build."""
    lowered = lower(config)
    rpn, roi = lowered.model['rpn_head'], lowered.model['roi_head']
    parts = [rpn['assigner'], rpn['sampler'], roi['region_sampler'], roi['nms']]
    parts += [lowered.train_dataset['transforms'], lowered.model['neck']]
    parts += [head[key] for head in (rpn, roi['bbox_head']) for key in ('loss_cls', 'loss_bbox')]
    build(parts + ([lowered.model['backbone']] if with_backbone else []))
    build_optimizer(torch.nn.Linear(1, 1), lowered.optimizer)


@pytest.mark.parametrize('release', ['hrnet_release', 'mmdet1'])
def test_every_misspelt_key_is_found(reference_dir, release):
    """Whatever key of a release's config is misspelt, lowering or building says where."""
    if release == 'mmdet1':
        config = mmdet1_config(reference_dir, 18)[0]
    else:
        config = release_record(reference_dir, 'w18_syncbn_randresizecrop_2x')['config']
    built(config, with_backbone=True)
    variables = ('dataset_type', 'data_root', 'img_norm_cfg', 'train_pipeline', 'test_pipeline')
    paths = [path for path in key_paths(config) if path[0] not in variables]
    assert len(paths) > 100
    for path in paths:
        with pytest.raises(ConfigError) as caught:
            built(misspelt(config, path), with_backbone='backbone' in path)
        # One message covers what stands inside the backbone's own ``extra``.
        sections = path[:2] if 'extra' in path else path[:-1]
        named = '.'.join(str(key) for key in sections if not isinstance(key, int))
        assert re.sub(r'\[\d+\]', '', str(caught.value)).startswith(named), path
