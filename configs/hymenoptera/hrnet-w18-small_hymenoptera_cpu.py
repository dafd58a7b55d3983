# Small images and few epochs, to train on a CPU: from the weights of the quickstart classifier,
# `make demo TASK=classification`.
_base_ = './hrnet-w18-small_hymenoptera.py'
_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.3, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=112, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=96),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
test_dataloader = val_dataloader
load_from = 'work_dirs/quickstart_classification/model_final.pth'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.0005, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(max_epochs=15)
default_hooks = dict(logger=dict(interval=4))
work_dir = './work_dirs/hrnet-w18-small_hymenoptera_cpu'
