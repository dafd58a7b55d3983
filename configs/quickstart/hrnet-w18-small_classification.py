# Textured shapes by their kind, learned from scratch in minutes on a CPU:
# python tools/make_shapes.py --task classification --out data/shapes_folders
_base_ = [
    '../_base_/models/hrnet_classifier.py',
    '../_base_/datasets/shapes_folders.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(width='18-small'),
    neck=[
        dict(type='HRFuseScales', in_channels=(18, 36, 72, 144)),
        dict(type='GlobalAveragePooling'),
    ],
    head=dict(num_classes=None),  # as many as there are folders
)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.05), clip_grad=dict(max_norm=10)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=6, val_interval=1)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=10))
work_dir = './work_dirs/quickstart_classification'
