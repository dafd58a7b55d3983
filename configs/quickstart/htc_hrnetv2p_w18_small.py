# Cascade Mask R-CNN's quickstart as a Hybrid Task Cascade, which learns the maps of grounds too.
_base_ = './cascade_mask_rcnn_hrnetv2p_w18_small.py'
model = dict(
    type='HybridTaskCascade',
    mask_head=dict(type='HTCMaskHead'),
    semantic_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', out_size=14, sample_num=2),
        out_channels=64,
        featmap_strides=[8],
    ),
    semantic_head=dict(
        type='FusedSemanticHead',
        num_convs=2,
        in_channels=64,
        conv_out_channels=64,
        num_classes=10,  # six shapes and four grounds
    ),
)
data = dict(train=dict(seg_prefix='data/shapes/stuffthingmaps/train/'))
work_dir = './work_dirs/quickstart_htc'
