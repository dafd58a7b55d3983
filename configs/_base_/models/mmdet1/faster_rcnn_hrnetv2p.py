# Faster R-CNN as in mmdetection 1: a test takes fewer proposals than training.
_base_ = '../faster_rcnn_hrnetv2p.py'
train_cfg = dict(
    rpn_proposal=dict(
        nms_across_levels=False,
        nms_pre=2000,
        nms_post=2000,
        max_num=2000,
        nms_thr=0.7,
        min_bbox_size=0,
    ),
)
test_cfg = dict(rpn=dict(nms_pre=1000, nms_post=1000, max_num=1000))
