"""Values of configs outside of their range are refused before anything is built."""

import pytest

from hrdet.config import load_config, lower
from hrdet.registry import ConfigError

NAN, INF = float('nan'), float('inf')
MASK_RCNN = 'configs/quickstart/mask_rcnn_hrnetv2p_w18_small.py'
FCOS = 'configs/quickstart/fcos_hrnetv2p_w18_small.py'
SEGMENTOR = 'configs/quickstart/fcn_hr18s.py'


@pytest.mark.parametrize(
    ('config', 'path', 'values'),
    [
        (MASK_RCNN, "model.rpn_head.anchor_strides", [[4, 8, 16, 32, -64], [4, 8, 16, 32, NAN]]),
        (MASK_RCNN, 'model.rpn_head.anchor_scales', [[0], [-1], [INF]]),
        (MASK_RCNN, 'model.rpn_head.target_stds', [[1, 1, 1, 0], [1, 1, 1, NAN]]),
        (MASK_RCNN, 'model.neck.out_channels', [0, -1, 64.5, [1, 2]]),
        (MASK_RCNN, 'model.bbox_roi_extractor.out_channels', [0, [1, 2]]),
        (MASK_RCNN, 'model.bbox_roi_extractor.featmap_strides', [[4, 8, 16, 0], [4, 8, 16, 0.5],
                                                                 [4, 8, 16, None]]),
        (MASK_RCNN, 'model.bbox_roi_extractor.roi_layer.out_size', [0, -7]),
        (MASK_RCNN, 'model.bbox_head.fc_out_channels', [0, 1e30]),
        (MASK_RCNN, 'model.mask_head.num_convs', [-1, 0.5]),
        (MASK_RCNN, 'train_cfg.rpn.assigner.pos_iou_thr', [-1, 1e30, NAN]),
        (MASK_RCNN, 'train_cfg.rcnn.sampler.num', [0, -1, INF]),
        (MASK_RCNN, 'train_cfg.rcnn.sampler.pos_fraction', [-1, 1e30]),
        # First used in a prediction, after an epoch.
        (MASK_RCNN, 'test_cfg.rpn.nms_thr', [-0.5, 1e30]),
        (MASK_RCNN, 'test_cfg.rpn.min_bbox_size', [-1, INF]),
        (MASK_RCNN, 'test_cfg.rpn.max_num', [0, -1]),
        (MASK_RCNN, 'test_cfg.rpn.nms_post', [None, {}]),
        (MASK_RCNN, 'test_cfg.rcnn.score_thr', [None, 1.5, 1e30, '0.05']),
        (MASK_RCNN, 'test_cfg.rcnn.nms.iou_thr', [-0.5, 1e30, True]),
        (MASK_RCNN, 'test_cfg.rcnn.max_per_img', [None, 0, 1e30]),
        (FCOS, 'model.bbox_head.strides', [[8, 16, 32, 64, -128], [8, 16, 32, 64, 0]]),
        (FCOS, 'test_cfg.nms.iou_thr', [-0.5, 1e30]),
        (FCOS, 'test_cfg.max_per_img', [0, None]),
        (SEGMENTOR, 'model.decode_head.channels', [0, -1]),
        (SEGMENTOR, 'model.decode_head.dropout_ratio', [1.5, NAN]),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_named(pytestconfig, config, path, values):
    lower(load_config(pytestconfig.rootpath / config)).check()
    for value in values:
        with pytest.raises(ConfigError) as caught:
            lower(load_config(pytestconfig.rootpath / config, {path: value})).check()
        assert path.split('.')[-1] in str(caught.value)
        assert ' is not ' in str(caught.value)
