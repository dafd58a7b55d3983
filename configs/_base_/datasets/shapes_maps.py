# What tools/make_shapes.py --task segmentation --train 800 --size 128 160 writes.
dataset_type = 'BaseSegDataset'
data_root = 'data/shapes_maps/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
crop_size = (128, 160)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', img_scale=(160, 128), ratio_range=(0.8, 1.25)),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size=crop_size, pad_val=0, seg_pad_val=255),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_semantic_seg']),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiScaleFlipAug',
        img_scale=(160, 128),
        flip=False,
        transforms=[
            dict(type='Resize', keep_ratio=True),
            dict(type='RandomFlip'),
            dict(type='Normalize', **img_norm_cfg),
            dict(type='ImageToTensor', keys=['img']),
            dict(type='Collect', keys=['img']),
        ],
    ),
]
_palette = [  # shapes in strong colours, grounds in pale ones
    (220, 40, 50),  # circle
    (30, 90, 220),  # square
    (250, 160, 20),  # triangle
    (150, 40, 180),  # star
    (0, 150, 110),  # ring
    (240, 80, 170),  # cross
    (165, 205, 240),  # sky
    (235, 215, 150),  # sand
    (150, 200, 120),  # grass
    (180, 180, 190),  # tiles
]
_images = dict(
    type=dataset_type, data_root=data_root, classes=data_root + 'classes.txt', palette=_palette
)
_val = dict(img_dir='images/val', ann_dir='labels/val', pipeline=test_pipeline, **_images)
data = dict(
    samples_per_gpu=8,
    workers_per_gpu=1,
    train=dict(img_dir='images/train', ann_dir='labels/train', pipeline=train_pipeline, **_images),
    val=_val,
    test=_val,
    val_dataloader=dict(samples_per_gpu=8),
    test_dataloader=dict(samples_per_gpu=8),
)
