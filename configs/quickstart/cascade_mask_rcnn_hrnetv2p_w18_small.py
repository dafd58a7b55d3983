# Cascade R-CNN's quickstart with masks of the shapes.
_base_ = './cascade_rcnn_hrnetv2p_w18_small.py'
model = dict(
    mask_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', out_size=14, sample_num=2),
        out_channels=64,
        featmap_strides=[4, 8, 16, 32],
    ),
    mask_head=dict(
        type='FCNMaskHead', num_convs=2, in_channels=64, conv_out_channels=64, class_agnostic=True
    ),
)
work_dir = './work_dirs/quickstart_cascade_mask'
