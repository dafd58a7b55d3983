# FCOS with HRNetV2p.  Left to choose: model.backbone.width and model.pretrained.
model = dict(
    type='FCOS',
    pretrained=None,
    backbone=dict(type='HRNet'),
    neck=dict(type='HRFPN', out_channels=256, stride=2, num_outs=5),
    bbox_head=dict(
        type='FCOSHead',
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        strides=[8, 16, 32, 64, 128],
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='IoULoss', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
)
test_cfg = dict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type='nms', iou_thr=0.5),
    max_per_img=100,
)
