_base_ = [
    '../_base_/models/faster_rcnn_hrnetv2p.py',
    '../_base_/datasets/coco_mstrain.py',
    '../_base_/schedules/2x.py',
    '../_base_/runtime.py',
]
model = dict(
    pretrained='hrnetv2_pretrained/hrnetv2_w32_imagenet_pretrained.pth',
    backbone=dict(type='SyncHighResolutionNet', width=32),
    neck=dict(with_checkpoint=True),
)
