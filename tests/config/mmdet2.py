"""Whole configs of mmdetection 2: recorded models with the sections of its base files for COCO."""

import re

from hrdet.config import Config

EPOCHS = {'1x': (12, [8, 11]), '2x': (24, [16, 22]), '20e': (20, [16, 19]), '28e': (28, [24, 27])}
LOAD = dict(type='LoadImageFromFile')
PAD = dict(type='Pad', size_divisor=32)


def data_section(norm: dict, masks: bool, maps: bool, multi_scale: bool, samples: int) -> dict:
    """mmdetection 2's ``_base_/datasets/coco_{detection,instance,instance_semantic}.py``."""
    scale = [(1333, 640), (1333, 800)] if multi_scale else (1333, 800)
    mode = dict(multiscale_mode='value') if multi_scale else {}
    keys = ['img', 'gt_bboxes', 'gt_labels', 'gt_bboxes_ignore']
    train_pipeline = [
        LOAD,
        dict(type='LoadAnnotations', with_bbox=True, with_mask=masks, with_seg=maps),
        dict(type='Resize', img_scale=scale, keep_ratio=True, **mode),
        dict(type='RandomFlip', flip_ratio=0.5),
        norm,
        PAD,
        *([dict(type='SegRescale', scale_factor=1 / 8)] if maps else []),
        dict(type='DefaultFormatBundle'),
        dict(type='Collect', keys=keys + ['gt_masks'] * masks + ['gt_semantic_seg'] * maps),
    ]
    views = [
        dict(type='Resize', keep_ratio=True),
        dict(type='RandomFlip'),
        norm,
        PAD,
        dict(type='ImageToTensor', keys=['img']),
        dict(type='Collect', keys=['img']),
    ]
    augmentation = dict(
        type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False, transforms=views
    )
    test = dict(
        type='CocoDataset',
        ann_file='data/coco/annotations/instances_val2017.json',
        img_prefix='data/coco/val2017/',
        pipeline=[LOAD, augmentation],
    )
    train = test | dict(
        ann_file='data/coco/annotations/instances_train2017.json',
        img_prefix='data/coco/train2017/',
        pipeline=train_pipeline,
    )
    if maps:
        train['seg_prefix'] = 'data/coco/stuffthingmaps/train2017/'
    return dict(samples_per_gpu=samples, workers_per_gpu=2, train=train, val=test, test=test)


def whole(record: dict, name: str) -> dict:
    """A whole config around a recorded model, whose keys mmdetection 2 and 3 share."""
    maps, fcos = name.startswith('htc'), name.startswith('fcos')
    masks = maps or 'mask' in name
    model = dict(record['model'])
    images = model.pop('data_preprocessor')
    norm = dict(
        type='Normalize', mean=images['mean'], std=images['std'], to_rgb=images['bgr_to_rgb']
    )
    epochs, steps = EPOCHS[re.search(r'(1x|2x|20e|28e)', name)[0]]
    warmup = dict(warmup='linear', warmup_ratio=0.001)
    optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
    clip = None
    if fcos:
        options = dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
        optimizer |= dict(lr=0.01, paramwise_cfg=options)
        clip = dict(max_norm=35, norm_type=2)
        warmup = dict(warmup='constant', warmup_ratio=1 / 3) if epochs == 12 else warmup
    config = dict(
        model=model,
        data=data_section(norm, masks, maps, 'ms-640-800' in name, 4 if fcos else 2),
        evaluation=dict(interval=1, metric=['bbox', 'segm'] if masks else 'bbox'),
        optimizer=optimizer,
        optimizer_config=dict(grad_clip=clip),
        lr_config=dict(policy='step', warmup_iters=500, step=steps, **warmup),
        runner=dict(type='EpochBasedRunner', max_epochs=epochs),
        checkpoint_config=dict(interval=1),
        log_config=dict(interval=50, hooks=[dict(type='TextLoggerHook')]),
        custom_hooks=[dict(type='NumClassCheckHook')],
        dist_params=dict(backend='nccl'),
        log_level='INFO',
        load_from=None,
        resume_from=None,
        workflow=[('train', 1)],
        opencv_num_threads=0,
        mp_start_method='fork',
        auto_scale_lr=dict(enable=True, base_batch_size=16),
    )
    return Config(config).to_dict()  # in which no two sections are one object
