_base_ = [
    '../_base_/models/mmdet1/mask_rcnn_hrnetv2p.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/2x.py',
    '../_base_/runtime.py',
]
model = dict(
    pretrained='hrnetv2_pretrained/hrnetv2_w40_imagenet_pretrained.pth',
    backbone=dict(width=40),
)
