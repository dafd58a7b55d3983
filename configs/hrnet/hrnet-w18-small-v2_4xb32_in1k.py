# HRNet-Image-Classification's W18-small v2, with its recipe.
_base_ = [
    '../_base_/models/hrnet_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_step.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(width='18-small'),
    neck=[
        dict(type='HRFuseScales', in_channels=(18, 36, 72, 144)),
        dict(type='GlobalAveragePooling'),
    ],
)
