# Generated scenes, learned from scratch in minutes on a CPU:
# python tools/make_shapes.py --task segmentation --out data/shapes_maps --train 800 --size 128 160
_base_ = [
    '../_base_/models/fcn_hr18s.py',
    '../_base_/datasets/shapes_maps.py',
    '../_base_/segmentation_runtime.py',
]
model = dict(pretrained=None, decode_head=dict(num_classes=None))

optimizer = dict(type='AdamW', lr=0.002, weight_decay=0.05)
auto_scale_lr = dict(enable=True, base_batch_size=8)
lr_config = dict(
    policy='poly', power=0.9, by_epoch=False, warmup='linear', warmup_iters=50, warmup_ratio=0.1
)
runner = dict(type='IterBasedRunner', max_iters=1000)
checkpoint_config = dict(interval=200)
evaluation = dict(interval=200, metric='mIoU')
log_config = dict(interval=10)
work_dir = './work_dirs/quickstart_segmentation'
