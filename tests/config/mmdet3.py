"""Whole configs around recorded models of mmdetection 3, with the sections of its base files."""

import re
from typing import Any

EPOCHS = {'1x': (12, [8, 11]), '2x': (24, [16, 22]), '20e': (20, [16, 19]), '28e': (28, [24, 27])}
SCALES = [(1333, 640), (1333, 800)]
LOAD = dict(type='LoadImageFromFile', backend_args=None)
RESIZE = dict(type='Resize', scale=(1333, 800), keep_ratio=True)
META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')


def data_sections(masks: bool, maps: bool, multi_scale: bool, batch_size: int) -> dict:
    """mmdetection 3's ``_base_/datasets/coco_{detection,instance,instance_semantic}.py``."""
    annotations = dict(type='LoadAnnotations', with_bbox=True)
    annotations |= dict(with_mask=True) if masks else {}
    annotations |= dict(with_seg=True) if maps else {}
    several = dict(type='RandomChoiceResize', scales=SCALES, keep_ratio=True)
    resize = several if multi_scale else RESIZE
    flip = dict(type='RandomFlip', prob=0.5)
    train_pipeline = [LOAD, annotations, resize, flip, dict(type='PackDetInputs')]
    test_annotations = {k: v for k, v in annotations.items() if k != 'with_seg'}
    pack = dict(type='PackDetInputs', meta_keys=META)
    test_pipeline = [LOAD, RESIZE, test_annotations, pack]
    prefix = dict(img='train2017/') | (dict(seg='stuffthingmaps/train2017/') if maps else {})
    coco = dict(type='CocoDataset', data_root='data/coco/', backend_args=None)
    test = dict(
        batch_size=1,
        num_workers=2,
        persistent_workers=True,
        drop_last=False,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            **coco,
            ann_file='annotations/instances_val2017.json',
            data_prefix=dict(img='val2017/'),
            test_mode=True,
            pipeline=test_pipeline,
        ),
    )
    evaluator = dict(
        type='CocoMetric',
        ann_file='data/coco/annotations/instances_val2017.json',
        metric=['bbox', 'segm'] if masks else 'bbox',
        format_only=False,
        backend_args=None,
    )
    return dict(
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=2,
            persistent_workers=True,
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='AspectRatioBatchSampler'),
            dataset=dict(
                **coco,
                ann_file='annotations/instances_train2017.json',
                data_prefix=prefix,
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=train_pipeline,
            ),
        ),
        val_dataloader=test,
        test_dataloader=test,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
    )


def schedule_sections(name: str) -> dict:
    """mmdetection 3's ``_base_/schedules`` and ``default_runtime.py``, and what FCOS changes."""
    fcos = name.startswith('fcos')
    epochs, steps = EPOCHS[re.search(r'(1x|2x|20e|28e)', name)[0]]
    warmup = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500)
    if fcos and epochs == 12:
        warmup = dict(type='ConstantLR', factor=1 / 3, by_epoch=False, begin=0, end=500)
    optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
    wrapper = dict(type='OptimWrapper', optimizer=optimizer)
    if fcos:
        optimizer['lr'] = 0.01
        wrapper['paramwise_cfg'] = dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
        wrapper['clip_grad'] = dict(max_norm=35, norm_type=2)
    steps = dict(
        type='MultiStepLR', begin=0, end=epochs, by_epoch=True, milestones=steps, gamma=0.1
    )
    return dict(
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        param_scheduler=[warmup, steps],
        optim_wrapper=wrapper,
        auto_scale_lr=dict(enable=True, base_batch_size=16),
        default_scope='mmdet',
        default_hooks=dict(
            timer=dict(type='IterTimerHook'),
            logger=dict(type='LoggerHook', interval=50),
            param_scheduler=dict(type='ParamSchedulerHook'),
            checkpoint=dict(type='CheckpointHook', interval=1),
            sampler_seed=dict(type='DistSamplerSeedHook'),
            visualization=dict(type='DetVisualizationHook'),
        ),
        env_cfg=dict(
            cudnn_benchmark=False,
            mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
            dist_cfg=dict(backend='nccl'),
        ),
        vis_backends=[dict(type='LocalVisBackend')],
        visualizer=dict(
            type='DetLocalVisualizer',
            vis_backends=[dict(type='TensorboardVisBackend')],
            name='visualizer',
        ),
        log_processor=dict(type='LogProcessor', window_size=50, by_epoch=True),
        log_level='INFO',
        load_from=None,
        resume=False,
    )


def whole(record: dict, name: str) -> dict:
    """A whole config around a recorded model."""
    maps = name.startswith('htc')
    batch = 4 if name.startswith('fcos') else 2
    data = data_sections(maps or 'mask' in name, maps, 'ms-640-800' in name, batch)
    return _unshared(dict(model=record['model'], **data, **schedule_sections(name)))


def _unshared(value: Any) -> Any:
    """A copy in which no two places hold one dict, so that a test changes one of them."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return type(value)(map(_unshared, value)) if isinstance(value, (list, tuple)) else value
