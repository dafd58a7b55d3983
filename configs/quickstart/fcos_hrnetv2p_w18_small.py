# FCOS on the data set that tools/make_shapes.py writes, from scratch in minutes on a CPU.
_base_ = [
    '../_base_/models/fcos_hrnetv2p.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py',
    '../_base_/runtime.py',
]
model = dict(
    backbone=dict(width='18-small', norm_eval=False),
    neck=dict(out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2, center_sampling=True),
    box_convention='continuous',
)
test_cfg = dict(nms_pre=200, max_per_img=50)

# From scratch its classes take longer to learn than those of a second stage.
optimizer = dict(lr=0.002)
total_epochs = 12

evaluation = dict(interval=2)
log_config = dict(interval=10, hooks=[dict(type='TextLoggerHook')])
work_dir = './work_dirs/quickstart_fcos'
