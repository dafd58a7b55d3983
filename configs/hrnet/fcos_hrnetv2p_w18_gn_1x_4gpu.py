_base_ = [
    '../_base_/models/fcos_hrnetv2p.py',
    '../_base_/datasets/coco_caffe.py',
    '../_base_/schedules/fcos_1x.py',
    '../_base_/runtime.py',
]
model = dict(
    pretrained='hrnetv2_pretrained/hrnetv2_w18_imagenet_pretrained.pth',
    backbone=dict(width=18),
)
