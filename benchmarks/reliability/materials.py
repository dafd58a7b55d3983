"""Small sound inputs of every task and format, and what a run does with them."""

import functools
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hrdet.data.formats.write import convert_labels
from hrdet.data.shapes import make_class_folders, make_label_maps, make_shapes

SIZE = (64, 80)  # (h, w) of the images


def make(folder: Path) -> None:
    """Write the sound inputs: ``coco``, ``voc``, ``yolo``, ``maps``, ``folders``."""
    make_shapes(str(folder / 'coco'), 4, 2, SIZE)
    for kind in ('voc', 'yolo'):
        convert_labels(str(folder / 'coco'), str(folder / kind), kind)
    make_label_maps(str(folder / 'maps'), 4, 2, SIZE)
    make_class_folders(str(folder / 'folders'), 4, 2, SIZE)
    for part in (folder / 'folders').iterdir():  # classes that no scene of a part has
        for empty in [path for path in part.iterdir() if not any(path.iterdir())]:
            empty.rmdir()


def copy(source: Path, target: Path) -> Path:
    """A copy of a folder that a case may change."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target


class Draw(random.Random):
    """The random numbers of one case: they follow from its campaign, its number and the seed."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(json.dumps(parts))


def paths_in(tree: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value in nested dicts and lists."""
    items: Any = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, (list, tuple)):
        items = enumerate(tree)
    for key, value in items:
        yield (*path, key)
        yield from paths_in(value, (*path, key))


def at(tree: Any, path: tuple) -> Any:
    """The value at a path."""
    return functools.reduce(lambda value, key: value[key], path, tree)


def change(tree: Any, path: tuple, value: Any) -> None:
    """Set the value at a path."""
    at(tree, path[:-1])[path[-1]] = value


def drop(tree: Any, path: tuple) -> None:
    """Remove the value at a path."""
    del at(tree, path[:-1])[path[-1]]


def spell(path: tuple) -> str:
    """A path in words."""
    text = ''.join(f'[{key}]' if isinstance(key, int) else f'.{key}' for key in path)
    return text.removeprefix('.')


NESTED: Any = functools.reduce(lambda inner, _: [inner], range(40), 0)

# What may stand in a JSON file, or in a config, in place of a right value.
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    -5,
    0.5,
    1.5,
    3,
    10**6,
    2**31,
    -(2**31),
    2**53,
    2**63,
    -(2**63),
    1e23,
    1e30,
    1e308,
    float('nan'),
    float('inf'),
    -float('inf'),
    '',
    'x',
    '0',
    '1',
    'false',
    'nan',
    '/etc/passwd',
    '../..',
    'a\0b',
    '\ud800',
    'ü' * 300,
    [],
    {},
    [0],
    [[]],
    [1, 'a'],
    {'a': 1},
    NESTED,
)


def damaged_bytes(data: bytes, draw: Draw) -> tuple[str, bytes]:
    """A file as disks and downloads damage it, and in what way."""
    kinds: dict[str, Callable[[], bytes]] = {
        'cut': lambda: data[: draw.randrange(len(data))],
        'empty': lambda: b'',
        'one byte': lambda: flipped(data, draw, 1),
        'four bytes': lambda: flipped(data, draw, 4),
        'a hole of zeros': lambda: _hole(data, draw),
        'doubled': lambda: data + data,
        'a web page': lambda: b'<!DOCTYPE html><html>not found</html>',
        'UTF-16': lambda: data.decode('latin-1').encode('utf-16'),
        'garbage at the end': lambda: data + bytes(draw.randrange(256) for _ in range(40)),
    }
    kind = draw.choice(list(kinds))
    return kind, kinds[kind]()


def flipped(data: bytes, draw: Draw, count: int) -> bytes:
    """Bytes with some random bits turned."""
    changed = bytearray(data)
    for _ in range(count):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _hole(data: bytes, draw: Draw) -> bytes:
    start = draw.randrange(len(data))
    length = min(len(data) - start, 1 + draw.randrange(200))
    return data[:start] + bytes(length) + data[start + length :]


# --------------------------------------------------------------------------------- configs that run

ROOT = Path(__file__).resolve().parents[2]
_QUICKSTART = ROOT / 'configs/quickstart'
# An HRNet of a few thousand weights: what is tried here are files and values, not networks.
_STAGES = """dict(
        stage1=_stage('BOTTLENECK', 2), stage2=_stage('BASIC', 4, 8),
        stage3=_stage('BASIC', 4, 8, 16), stage4=_stage('BASIC', 4, 8, 16, 32),
    )"""
_STAGE = """
_stage = lambda block, *channels: dict(num_modules=1, num_branches=len(channels), block=block,
                                       num_blocks=(1,) * len(channels), num_channels=channels)
"""
_DETECTION_DATA = """
_part = lambda name: dict(ann_file='{base}/coco/annotations/instances_' + name + '.json',
                          img_prefix='{base}/coco/' + name + '/', img_scale=(80, 64))
data = dict(imgs_per_gpu=2, workers_per_gpu=0, test_imgs_per_gpu=2,
            train=_part('train'), val=_part('val'), test=_part('val'))
total_epochs = 1
evaluation = dict(interval=1)
log_config = dict(interval=1)
optimizer = dict(lr=0.0005)
"""
_HEADS = """
model = dict(
    backbone=dict(width=None, extra={stages}, norm_eval=False),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    bbox_roi_extractor=dict(out_channels=8),
    bbox_head=dict(in_channels=8, fc_out_channels=16),
    mask_roi_extractor=dict(out_channels=8),
    mask_head=dict(num_convs=1, in_channels=8, conv_out_channels=8),
)
"""
_FCOS = """
model = dict(
    backbone=dict(width=None, extra={stages}, norm_eval=False),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    bbox_head=dict(
        in_channels=8, feat_channels=8, stacked_convs=1, norm_cfg=dict(type='GN', num_groups=4)
    ),
)
"""
_SEGMENTATION = """
model = dict(
    backbone=dict(extra={stages}, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=[4, 8, 16, 32], channels=8, norm_cfg=dict(type='BN')),
)
data = dict(samples_per_gpu=2, workers_per_gpu=0,
            train=dict(data_root='{base}/maps', classes='{base}/maps/classes.txt'),
            val=dict(data_root='{base}/maps', classes='{base}/maps/classes.txt'),
            test=dict(data_root='{base}/maps', classes='{base}/maps/classes.txt'))
runner = dict(max_iters=2)
evaluation = dict(interval=1)
checkpoint_config = dict(interval=1)
log_config = dict(interval=1)
"""
_CLASSIFICATION = """
model = dict(
    backbone=dict(width=None, extra={stages}),
    neck=[dict(type='HRFuseScales', in_channels=(4, 8, 16, 32)), dict(type='GlobalAveragePooling')],
)
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(data_root='{base}/folders'))
val_dataloader = dict(
    batch_size=4, num_workers=0, dataset=dict(data_root='{base}/folders', data_prefix='train')
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1))
"""
_CONFIGS = {
    'detection': ('mask_rcnn_hrnetv2p_w18_small', _DETECTION_DATA + _HEADS),
    'fcos': ('fcos_hrnetv2p_w18_small', _DETECTION_DATA + _FCOS),
    'segmentation': ('fcn_hr18s', _SEGMENTATION),
    'classification': ('hrnet-w18-small_classification', _CLASSIFICATION),
}
TASKS = tuple(_CONFIGS)


def config_file(base: Path, task: str) -> Path:
    """A config of a task on the sound inputs in ``base``, written beside them."""
    quickstart, text = _CONFIGS[task]
    path = base / f'{task}.py'
    text = text.replace('{stages}', _STAGES).replace('{base}', str(base))
    path.write_text(f"_base_ = '{_QUICKSTART / quickstart}.py'\n{_STAGE}{text}")
    return path
