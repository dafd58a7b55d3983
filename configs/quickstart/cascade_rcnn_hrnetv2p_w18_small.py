# Faster R-CNN's quickstart in three stages.
_base_ = './faster_rcnn_hrnetv2p_w18_small.py'
_rcnn = _base_.train_cfg.rcnn
model = dict(
    type='CascadeRCNN',
    num_stages=3,
    bbox_head=[
        dict(_base_.model.bbox_head, target_stds=stds)
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
work_dir = './work_dirs/quickstart_cascade'
