# HRNet with the classification head.  Left to choose: model.backbone and the channels of the neck.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='HRNet'),
    head=dict(
        type='LinearClsHead',
        in_channels=2048,
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)
