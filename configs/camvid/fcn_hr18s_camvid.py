# From ImageNet weights. data/camvid holds images/{train,val}/*.jpg and labels/{train,val}/*.png.
_base_ = [
    '../_base_/models/fcn_hr18s.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/schedule_20k.py',
    '../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=11))
runner = dict(max_iters=8000)
checkpoint_config = dict(interval=1000, max_keep_ckpts=2)
evaluation = dict(interval=1000)
