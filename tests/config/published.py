"""Configs of the releases as they were published, and what a config means in comparable form."""

import copy
import inspect
import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

import hrdet.data
import hrdet.evaluation
import hrdet.losses
import hrdet.matching
import hrdet.models
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import Node, RunConfig, with_num_classes
from hrdet.registry import ConfigError, build, registered

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
SHIPPED = sorted(p for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts)

# The releases' configs for HRNet; a shipped config has the name of the release's.
WIDTHS = (18, 32, 40, 48)
HRNET_RELEASE = [
    *(f'faster_rcnn_hrnetv2p_w{w}_{epochs}' for w in (18, 32, 40) for epochs in ('1x', '2x')),
    'faster_rcnn_hrnetv2p_w18_syncbn_1x',
    *(
        f'faster_rcnn_hrnetv2p_w{w}_syncbn_mstrain_{epochs}'
        for w in (18, 32)
        for epochs in ('1x', '2x')
    ),
    *(
        f'faster_rcnn_hrnetv2p_w18_{norm}randresizecrop_{epochs}'
        for norm in ('', 'syncbn_')
        for epochs in ('1x', '2x')
    ),
    *(f'mask_rcnn_hrnetv2p_w{w}_{epochs}' for w in (18, 32) for epochs in ('1x', '2x')),
    'cascade_rcnn_hrnetv2p_w32',
    'cascade_rcnn_r101_fpn',
]
MMDET_1 = [
    f'{kind}_hrnetv2p_w{w}_{schedule}'
    for kind, schedule in (
        ('faster_rcnn', '1x'),
        ('mask_rcnn', '1x'),
        ('cascade_rcnn', '20e'),
        ('cascade_mask_rcnn', '20e'),
        ('htc', '20e'),
        ('fcos', 'gn_1x_4gpu'),
    )
    for w in WIDTHS
]
MMSEG = [
    f'fcn_{model}_{data}'
    for model in ('hr18s', 'hr18', 'hr48')
    for data in (
        *(f'512x1024_{length}_cityscapes' for length in ('40k', '80k', '160k')),
        *(f'512x512_{length}_ade20k' for length in ('80k', '160k')),
        *(f'512x512_{length}_voc12aug' for length in ('20k', '40k')),
        *(f'480x480_{length}_pascal_context{k}' for length in ('40k', '80k') for k in ('', '_59')),
        '512x512_80k_loveda',
        '512x512_80k_potsdam',
        '4x4_512x512_80k_vaihingen',
        '4x4_896x896_80k_isaid',
    )
]
MMDET_3 = sorted(path.stem for path in (CONFIGS / 'hrnet/continuous').glob('*.py'))

_PLACES = ('pretrained', 'work_dir')
_COUNTED: dict[str, int] = {}


def record_of(reference_dir: Path, release: str, name: str) -> dict:
    """What is known of a config of ``release``, the folder of its record."""
    return json.loads((reference_dir / f'manifests/{release}/{name}.json').read_text())


def recorded_configs(reference_dir: Path, table: str) -> dict[str, dict]:
    """The configs of a release in one file, whose tuples are ``{"__tuple__": [...]}``."""
    record = json.loads((reference_dir / f'manifests/tasks/{table}.json').read_text())
    return _with_tuples(record['configs'])


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict) and '__tuple__' in value:
        return tuple(_with_tuples(value['__tuple__']))
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return [_with_tuples(item) for item in value] if isinstance(value, list) else value


def config_in(record: dict) -> dict:
    """The whole config of a record of 2019."""
    if 'config' in record:
        return record['config']
    sections = {key: record[key] for key in ('model', 'train_cfg', 'test_cfg')}
    return sections | record['config_other']


def parameters(model: Node, classes: int = 80) -> int:
    """Parameters of a lowered model, which is built without memory for them."""
    model = with_num_classes(model, classes)
    key = repr(model)
    if key not in _COUNTED:
        with torch.device('meta'):
            _COUNTED[key] = sum(p.numel() for p in build(model).parameters())
    return _COUNTED[key]


def parameters_in(record: dict) -> int:
    """Those of a model of 2019, less what it has for the background.

    That is a mask, and deltas where each class has its own.
    """
    model, count = config_in(record)['model'], record['num_params_total']
    stages = model.get('num_stages', 1)
    if model['type'] != 'FCOS' and stages == 1:
        count -= 4 * (1024 + 1)
    return count - stages * (256 + 1) * ('mask_head' in model)


def stages_of(backbone: dict) -> tuple:
    """Channels, modules and blocks of HRNet's four stages, from ``extra`` or from ``width``."""
    if 'extra' in backbone:
        stages = [backbone['extra'][f'stage{i}'] for i in (1, 2, 3, 4)]
        return tuple(
            (list(s['num_channels']), s['num_modules'], list(s['num_blocks']), s['block'])
            for s in stages
        )
    widths = [backbone['width'] * 2**i for i in range(4)]
    stages = [([64], 1, [4], 'BOTTLENECK')]
    for branches, modules in ((2, 1), (3, 4), (4, 3)):
        stages.append((widths[:branches], modules, [4] * branches, 'BASIC'))
    return tuple(stages)


def model_meaning(run: RunConfig) -> dict:
    """A lowered model of 80 classes with its HRNet in one form and the defaults of its parts."""
    model = with_num_classes(run.model, 80)
    kind = model['backbone']['type'].replace('HighResolutionNet', 'HRNet')
    if kind != 'ResNet':
        model['backbone'] = (kind, stages_of(model['backbone']))
    return with_defaults(model)


def with_defaults(value: Any) -> Any:
    """Nodes in a tree with the arguments that their classes have by default."""
    if isinstance(value, dict):
        defaults = {}
        with suppress(ConfigError):
            parameters = inspect.signature(registered(value.get('type'))).parameters
            defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
        return defaults | {key: with_defaults(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_defaults(item) for item in value]
    return value


def _settings(value: Any) -> dict[str, Any]:
    """The fields of a dataclass; ``asdict`` would lose the keys of nodes inside it."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def meaning(run: RunConfig) -> dict:
    """What a config means, paths and worker processes aside, in whichever way it is written."""
    run = copy.deepcopy(run)
    values = dict(model=model_meaning(run), classes=run.classes, **_settings(run.training))
    values |= {name: value for name, value in _settings(run.runtime).items() if name not in _PLACES}
    rate, batch = values['optimizer'].pop('lr'), values.pop('auto_scale_lr')['base_batch_size']
    if batch is None:  # for 4 GPUs x 2 images where it is 0.01, and for 8 x 2 where it is 0.02
        batch = {0.01: 8, 0.02: 16}[rate] * run.train['batch_size'] // 2
    values['lr_per_image'] = rate / batch
    for split in ('train', 'val', 'test'):
        values[split] = getattr(run, split)
        for key in ('type', 'ann_file', 'img_prefix'):
            del values[split]['dataset'][key]
        del values[split]['num_workers']
    return values


def equal(ours, theirs) -> bool:
    """Equality that does not tell lists from tuples."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return ours == theirs


def differences(ours: dict, theirs: dict) -> dict:
    """The parts of two meanings that differ, as pairs."""
    return {
        key: (ours.get(key), theirs.get(key))
        for key in ours.keys() | theirs.keys()
        if not equal(ours.get(key), theirs.get(key))
    }
