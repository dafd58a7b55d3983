# Blood cells (Shenggan/BCCD_Dataset, VOC layout in data/bccd), from scratch at full size.
_base_ = ['../_base_/models/faster_rcnn_hrnetv2p.py', '../_base_/runtime.py']
model = dict(
    backbone=dict(width=18, norm_cfg=dict(type='SyncBN')),
    box_convention='continuous',
)
train_cfg = dict(
    rpn_proposal=dict(nms_pre=2000, nms_post=1000, max_num=1000, nms_thr=0.7),
)
test_cfg = dict(rpn=dict(nms_pre=1000, nms_post=1000, max_num=1000))

data_root = 'data/bccd/'
classes = ('RBC', 'WBC', 'Platelets')
_images = dict(
    type='VOCDataset',
    img_prefix=data_root,
    img_scale=(640, 480),
    img_norm_cfg=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    size_divisor=32,
)
data = dict(
    imgs_per_gpu=8,
    workers_per_gpu=8,
    test_imgs_per_gpu=8,
    train=dict(ann_file=data_root + 'ImageSets/Main/train.txt', flip_ratio=0.5, **_images),
    val=dict(ann_file=data_root + 'ImageSets/Main/val.txt', **_images),
    test=dict(ann_file=data_root + 'ImageSets/Main/test.txt', **_images),
)

optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
auto_scale_lr = dict(enable=True, base_batch_size=8)
optimizer_config = dict(grad_clip=dict(max_norm=35))
lr_config = dict(policy='step', warmup='linear', warmup_iters=200, warmup_ratio=0.01, step=[48, 56])
total_epochs = 60
amp = 'bfloat16'
evaluation = dict(interval=5)
checkpoint_config = dict(interval=10, max_keep_ckpts=2)
log_config = dict(interval=10, hooks=[dict(type='TextLoggerHook')])
