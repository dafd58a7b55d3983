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
from hrdet.data.shapes.scenes import CLASSES as SHAPES

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
# The same in the languages of mmdetection 3 and mmsegmentation 1.x, for the campaign of configs.
_MMDETECTION = """
model = dict(
    backbone=dict(extra={stages}),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=16, num_classes=6),
    ),
)
_part = lambda name: dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{base}/coco/', ann_file='annotations/instances_' + name + '.json',
        data_prefix=dict(img=name + '/'), metainfo=dict(classes={classes}),
    ),
)
train_dataloader, val_dataloader = _part('train'), _part('val')
val_evaluator = dict(ann_file='{base}/coco/annotations/instances_val.json')
train_cfg = dict(max_iters=2, val_interval=2)
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1)]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""
_MMSEGMENTATION = """
_norm = dict(type='BN', requires_grad=True)
_size = (64, 64)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size=_size,
    ),
    backbone=dict(type='HRNet', norm_cfg=_norm, norm_eval=False, extra={stages}),
    decode_head=dict(
        type='FCNHead', in_channels=[4, 8, 16, 32], in_index=(0, 1, 2, 3), channels=8,
        input_transform='resize_concat', kernel_size=1, num_convs=1, concat_input=False,
        dropout_ratio=-1, num_classes=10, norm_cfg=_norm, align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
_load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
_train = [
    *_load, dict(type='RandomResize', scale=(80, 64), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=_size, cat_max_ratio=0.75), dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'), dict(type='PackSegInputs'),
]
_test = [
    _load[0], dict(type='Resize', scale=(80, 64), keep_ratio=True), _load[1],
    dict(type='PackSegInputs'),
]
_part = lambda name, pipeline, sampler: dict(
    batch_size=2, num_workers=0, persistent_workers=False, sampler=sampler,
    dataset=dict(
        type='BaseSegDataset', data_root='{base}/maps', pipeline=pipeline,
        data_prefix=dict(img_path='images/' + name, seg_map_path='labels/' + name),
        metainfo=dict(classes={classes} + ('sky', 'sand', 'grass', 'tiles')),
    ),
)
train_dataloader = _part('train', _train, dict(type='InfiniteSampler', shuffle=True))
val_dataloader = _part('val', _test, dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer, clip_grad=None)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=2, by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
)
"""
_CONFIGS = {
    'detection': (f'{_QUICKSTART}/mask_rcnn_hrnetv2p_w18_small.py', _DETECTION_DATA + _HEADS),
    'fcos': (f'{_QUICKSTART}/fcos_hrnetv2p_w18_small.py', _DETECTION_DATA + _FCOS),
    'segmentation': (f'{_QUICKSTART}/fcn_hr18s.py', _SEGMENTATION),
    'classification': (f'{_QUICKSTART}/hrnet-w18-small_classification.py', _CLASSIFICATION),
}
TASKS = tuple(_CONFIGS)
_CONFIGS |= {
    'mmdetection 3': (f'{ROOT}/benchmarks/learning_configs/bccd.py', _MMDETECTION),
    'mmsegmentation 1': ([], _MMSEGMENTATION),
}
CONFIGS = tuple(_CONFIGS)


def config_file(base: Path, task: str) -> Path:
    """A config, one of ``CONFIGS``, on the sound inputs in ``base``, written beside them."""
    inherited, text = _CONFIGS[task]
    text = text.replace('{classes}', str(SHAPES))
    path = base / f'{task.replace(" ", "_")}.py'
    text = text.replace('{stages}', _STAGES).replace('{base}', str(base))
    path.write_text(f'_base_ = {inherited!r}\n{_STAGE}{text}')
    return path
