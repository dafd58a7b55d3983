_base_ = [
    '../_base_/models/cascade_rcnn_hrnetv2p.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/20e.py',
    '../_base_/runtime.py',
]
model = dict(
    pretrained='hrnetv2_pretrained/hrnetv2_w32_imagenet_pretrained.pth',
    backbone=dict(width=32),
)
