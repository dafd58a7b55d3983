_base_ = [
    '../../_base_/models/continuous/cascade_mask_rcnn_hrnetv2p.py',
    '../../_base_/datasets/coco.py',
    '../../_base_/schedules/continuous/20e.py',
    '../../_base_/runtime.py',
]
model = dict(
    pretrained='hrnetv2_pretrained/hrnetv2_w18_imagenet_pretrained.pth',
    backbone=dict(width=18),
)
