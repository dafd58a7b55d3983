# Cascade R-CNN with HRNetV2p.  Left to choose: model.backbone.width and model.pretrained.
_base_ = './mmdet1/faster_rcnn_hrnetv2p.py'
_rcnn = _base_.train_cfg.rcnn
model = dict(
    type='CascadeRCNN',
    num_stages=3,
    bbox_head=[
        dict(_base_.model.bbox_head, target_stds=stds, reg_class_agnostic=True)
        for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
    ],
)
train_cfg = dict(
    rcnn=[
        dict(
            _rcnn,
            assigner=dict(_rcnn.assigner, pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou),
        )
        for iou in (0.5, 0.6, 0.7)
    ],
    stage_loss_weights=[1, 0.5, 0.25],
)
