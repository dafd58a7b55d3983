# The data set that tools/make_shapes.py writes, learned from scratch in minutes on a CPU.
_base_ = [
    '../_base_/models/faster_rcnn_hrnetv2p.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py',
    '../_base_/runtime.py',
]
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

evaluation = dict(interval=2)
log_config = dict(interval=10, hooks=[dict(type='TextLoggerHook')])
work_dir = './work_dirs/quickstart'
