# Cascade Mask R-CNN as in mmdetection 3: continuous boxes, adaptive sampling.
_base_ = '../cascade_mask_rcnn_hrnetv2p.py'
model = dict(
    box_convention='continuous',
    bbox_roi_extractor=dict(roi_layer=dict(sample_num=0)),
    mask_roi_extractor=dict(roi_layer=dict(sample_num=0)),
)
train_cfg = dict(
    rcnn=[
        dict(stage, assigner=dict(stage.assigner, match_low_quality=False))
        for stage in _base_.train_cfg.rcnn
    ]
)
