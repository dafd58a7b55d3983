# Faster R-CNN as in mmdetection 3: continuous boxes, L1 losses, samples by size of region.
_base_ = '../faster_rcnn_hrnetv2p.py'
model = dict(
    box_convention='continuous',
    rpn_head=dict(loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    bbox_roi_extractor=dict(roi_layer=dict(sample_num=0)),
    bbox_head=dict(loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
)
train_cfg = dict(
    rpn=dict(allowed_border=-1, smoothl1_beta=None),
    rpn_proposal=dict(nms_pre=2000, nms_post=1000, max_num=1000, nms_thr=0.7),
    rcnn=dict(assigner=dict(match_low_quality=False)),
)
test_cfg = dict(rpn=dict(nms_pre=1000, nms_post=1000, max_num=1000))
