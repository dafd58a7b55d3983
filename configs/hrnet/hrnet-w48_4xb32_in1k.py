_base_ = [
    '../_base_/models/hrnet_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_cosine.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(arch='w48'),
    neck=[
        dict(type='HRFuseScales', in_channels=(48, 96, 192, 384)),
        dict(type='GlobalAveragePooling'),
    ],
)
