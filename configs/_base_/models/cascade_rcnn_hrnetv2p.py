# Cascade R-CNN with HRNetV2p.  Left to choose: model.backbone.width and model.pretrained.
_base_ = './faster_rcnn_hrnetv2p.py'
model = dict(
    type='CascadeRCNN',
    num_stages=3,
    bbox_head=[
        dict(
            type='SharedFCBBoxHead',
            num_fcs=2,
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=stds,
            reg_class_agnostic=True,
        )
        for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
    ],
)
train_cfg = dict(
    rpn_proposal=dict(
        nms_across_levels=False,
        nms_pre=2000,
        nms_post=2000,
        max_num=2000,
        nms_thr=0.7,
        min_bbox_size=0,
    ),
    rcnn=[
        dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=iou,
                neg_iou_thr=iou,
                min_pos_iou=iou,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type='RandomSampler',
                num=512,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
            pos_weight=-1,
        )
        for iou in (0.5, 0.6, 0.7)
    ],
    stage_loss_weights=[1, 0.5, 0.25],
)
test_cfg = dict(rpn=dict(nms_pre=1000, nms_post=1000, max_num=1000))
