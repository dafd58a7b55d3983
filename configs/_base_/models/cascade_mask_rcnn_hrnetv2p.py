# Cascade Mask R-CNN with HRNetV2p.  Left to choose: model.backbone.width and model.pretrained.
_base_ = './cascade_rcnn_hrnetv2p.py'
model = dict(
    mask_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', out_size=14, sample_num=2),
        out_channels=256,
        featmap_strides=[4, 8, 16, 32],
    ),
    mask_head=dict(type='FCNMaskHead', num_convs=4, in_channels=256, conv_out_channels=256),
)
train_cfg = dict(rcnn=[dict(stage, mask_size=28) for stage in _base_.train_cfg.rcnn])
test_cfg = dict(rcnn=dict(mask_thr_binary=0.5))
