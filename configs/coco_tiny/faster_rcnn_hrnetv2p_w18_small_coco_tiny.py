# Can the detector learn real images at all?  Train on 80 images of COCO and test on the same 80.
# data/coco_tiny/{annotations,train2017}: a COCO-format subset, such as zzowenzz/COCO_Tiny.
_base_ = ['../_base_/models/faster_rcnn_hrnetv2p.py', '../_base_/runtime.py']
model = dict(
    backbone=dict(width='18-small', norm_eval=False),
    neck=dict(out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128, anchor_scales=[4]),
    bbox_roi_extractor=dict(out_channels=128, finest_scale=28),
    bbox_head=dict(in_channels=128, fc_out_channels=512),
    box_convention='continuous',
)
train_cfg = dict(
    rpn=dict(allowed_border=-1, assigner=dict(ignore_iof_thr=0.5)),
    rpn_proposal=dict(nms_pre=500, nms_post=500, max_num=500, nms_thr=0.7),
    rcnn=dict(assigner=dict(ignore_iof_thr=0.5), sampler=dict(num=256)),
)
test_cfg = dict(rpn=dict(nms_pre=500, nms_post=500, max_num=500))

data_root = 'data/coco_tiny/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_images = dict(
    type='CocoDataset',
    ann_file=data_root + 'annotations/instances_train2017.json',
    img_prefix=data_root + 'train2017/',
    img_scale=(384, 256),
    img_norm_cfg=img_norm_cfg,
    size_divisor=32,
)
data = dict(
    imgs_per_gpu=4, workers_per_gpu=0, test_imgs_per_gpu=4, train=_images, val=_images, test=_images
)

optimizer = dict(type='AdamW', lr=0.001, weight_decay=0.0001)
auto_scale_lr = dict(enable=True, base_batch_size=4)
optimizer_config = dict(grad_clip=dict(max_norm=10))
lr_config = dict(
    policy='cosine', by_epoch=False, warmup='linear', warmup_iters=100, warmup_ratio=0.1
)
total_epochs = 120
amp = 'bfloat16'
evaluation = dict(interval=20)
checkpoint_config = dict(interval=20, max_keep_ckpts=2)
log_config = dict(interval=20, hooks=[dict(type='TextLoggerHook')])
