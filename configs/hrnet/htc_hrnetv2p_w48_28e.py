_base_ = [
    '../_base_/models/htc_hrnetv2p.py',
    '../_base_/datasets/coco_stuff.py',
    '../_base_/schedules/28e.py',
    '../_base_/runtime.py',
]
model = dict(
    pretrained='hrnetv2_pretrained/hrnetv2_w48_imagenet_pretrained.pth',
    backbone=dict(width=48),
)
