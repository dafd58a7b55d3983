# The model that the release compares HRNet with.
_base_ = './cascade_rcnn_hrnetv2p_w32.py'
model = dict(
    pretrained='pretrained/resnet101.pth',
    backbone=dict(_delete_=True, type='ResNet', depth=101, frozen_stages=1),
    neck=dict(_delete_=True, type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256),
)
