# The same at half size, for a CPU with bfloat16.
_base_ = ['faster_rcnn_hrnetv2p_w18_bccd.py']
model = dict(
    neck=dict(out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128, anchor_scales=[4]),
    bbox_roi_extractor=dict(out_channels=128),
    bbox_head=dict(in_channels=128, fc_out_channels=512),
)
train_cfg = dict(
    rpn=dict(allowed_border=-1),
    rpn_proposal=dict(nms_pre=500, nms_post=500, max_num=500),
    rcnn=dict(sampler=dict(num=128)),
)
test_cfg = dict(rpn=dict(nms_pre=500, nms_post=500, max_num=300))
data = dict(
    imgs_per_gpu=4,
    workers_per_gpu=0,
    train=dict(img_scale=(320, 240)),
    val=dict(img_scale=(320, 240)),
    test=dict(img_scale=(320, 240)),
)
optimizer = dict(_delete_=True, type='AdamW', lr=0.0005, weight_decay=0.05)
auto_scale_lr = dict(base_batch_size=4)
lr_config = dict(
    _delete_=True,
    policy='cosine',
    by_epoch=False,
    warmup='linear',
    warmup_iters=100,
    warmup_ratio=0.1,
)
total_epochs = 30
