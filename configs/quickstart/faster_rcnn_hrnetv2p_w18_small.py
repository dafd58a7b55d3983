# The data set that tools/make_shapes.py writes, learned from scratch in minutes on a CPU.
_base_ = ['../_base_/models/faster_rcnn_hrnetv2p.py', '../_base_/runtime.py']
model = dict(
    backbone=dict(width='18-small', norm_eval=False),
    neck=dict(out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_scales=[5]),
    bbox_roi_extractor=dict(out_channels=64),
    bbox_head=dict(in_channels=64, fc_out_channels=256, reg_class_agnostic=True),
    box_convention='continuous',
)
train_cfg = dict(
    rpn=dict(allowed_border=-1, assigner=dict(ignore_iof_thr=0.5), sampler=dict(num=128)),
    rpn_proposal=dict(nms_pre=400, nms_post=400, max_num=200, nms_thr=0.7),
    rcnn=dict(assigner=dict(ignore_iof_thr=0.5), sampler=dict(num=64, pos_fraction=0.5)),
)
test_cfg = dict(rpn=dict(nms_pre=200, nms_post=200, max_num=100), rcnn=dict(max_per_img=50))

data_root = 'data/shapes/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_images = dict(
    type='CocoDataset',
    img_scale=(160, 128),
    img_norm_cfg=img_norm_cfg,
    size_divisor=32,
)
_train = dict(
    ann_file=data_root + 'annotations/instances_train.json', img_prefix=data_root + 'train/'
)
_val = dict(ann_file=data_root + 'annotations/instances_val.json', img_prefix=data_root + 'val/')
data = dict(
    imgs_per_gpu=8,
    workers_per_gpu=1,
    test_imgs_per_gpu=8,
    train=dict(flip_ratio=0.5, **_train, **_images),
    val=dict(**_val, **_images),
    test=dict(**_val, **_images),
)

optimizer = dict(type='AdamW', lr=0.001, weight_decay=0.05)
auto_scale_lr = dict(enable=True, base_batch_size=8)
optimizer_config = dict(grad_clip=dict(max_norm=10))
lr_config = dict(
    policy='cosine', by_epoch=False, warmup='linear', warmup_iters=50, warmup_ratio=0.1
)
total_epochs = 6
evaluation = dict(interval=2)
log_config = dict(interval=10, hooks=[dict(type='TextLoggerHook')])
work_dir = './work_dirs/quickstart'
