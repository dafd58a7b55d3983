# Hybrid Task Cascade as in mmdetection 3: continuous boxes, adaptive sampling.
_base_ = '../htc_hrnetv2p.py'
model = dict(
    box_convention='continuous',
    bbox_roi_extractor=dict(roi_layer=dict(sample_num=0)),
    mask_roi_extractor=dict(roi_layer=dict(sample_num=0)),
    semantic_roi_extractor=dict(roi_layer=dict(sample_num=0)),
)
