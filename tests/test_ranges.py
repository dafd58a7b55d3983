"""Values of configs outside of their range are refused before anything is built."""

from typing import Annotated, get_args, get_origin

import pytest

import hrdet.data
import hrdet.evaluation
import hrdet.models  # noqa: F401  (registers what configs build)
from hrdet import registry
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
        (MASK_RCNN, 'test_cfg.rcnn.mask_thr_binary', [0, 1, -1]),
        (MASK_RCNN, 'data.imgs_per_gpu', [0, -1, 2.5, INF]),
        (MASK_RCNN, 'data.workers_per_gpu', [-1, 1e30]),
        (MASK_RCNN, 'lr_config', [dict(policy='step', step=step) for step in ([0], [-1], 2.5)]),
        (MASK_RCNN, 'lr_config', [dict(policy='exp', gamma=gamma) for gamma in (0, -1, NAN)]),
        (MASK_RCNN, 'lr_config.warmup_ratio', [0, 1.5]),
        (MASK_RCNN, 'optimizer.lr', [0, -1, NAN]),
        (MASK_RCNN, 'optimizer_config.grad_clip.max_norm', [0, INF]),
        (MASK_RCNN, 'total_epochs', [0, -1, 1.5]),
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


SIZES = [0, -1, (64, -1), (64, 0), (64, 64, 64), 1 << 17, 1.5, None]
SHARES = [-0.1, 1.1, NAN, None, '0.5']
PAIRS = [(2, 1), (-1, 1), (NAN, 1), (1,), 1]
COLOURS = [-1, 256, (0, 0), (0, 0, 300), NAN]
MEAN_STD = dict(mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize(
    ('node', 'key', 'values'),
    [
        (dict(type='Resize', scales=(64, 64)), 'scales', [[], (64, -1), [(64, 64), (0, 64)], [64]]),
        (dict(type='RandomFlip'), 'ratio', SHARES),
        (dict(type='Pad'), 'size_divisor', [0, -32, 1.5, 1 << 17]),
        (dict(type='Expand'), 'ratio_range', [*PAIRS, (0.5, 2), (1, 1e6)]),
        (dict(type='Expand'), 'mean', COLOURS),
        (dict(type='PhotoMetricDistortion'), 'brightness_delta', [-1, 256, NAN]),
        (dict(type='PhotoMetricDistortion'), 'contrast_range', PAIRS),
        (dict(type='PhotoMetricDistortion'), 'saturation_range', PAIRS),
        (dict(type='PhotoMetricDistortion'), 'hue_delta', [-1, 181]),
        (dict(type='RandResizeCrop', scales=[(64, 64)], size=(9, 9)), 'scales', [[], [(0, 1)]]),
        (dict(type='RandResizeCrop', scales=[(64, 64)], size=(9, 9)), 'size', [9, (0, 9), (9, -9)]),
        (dict(type='RandomCrop'), 'min_ious', [[1.5], [-1], 0.5]),
        (dict(type='RandomCrop'), 'min_crop_size', [0, *SHARES]),
        (dict(type='SegRescale'), 'scale_factor', [0, *SHARES]),
        (dict(type='RandomResizedCrop', scale=64), 'scale', SIZES),
        (dict(type='RandomResizedCrop', scale=64), 'crop_ratio_range', PAIRS),
        (dict(type='RandomResizedCrop', scale=64), 'aspect_ratio_range', [*PAIRS, (1, 1e300)]),
        (dict(type='RandomResizedCrop', scale=64), 'max_attempts', [-1, 10**9]),
        (dict(type='ResizeEdge', scale=64), 'scale', SIZES),
        (dict(type='CenterCrop', crop_size=64), 'crop_size', SIZES),
        (dict(type='ColorJitter'), 'brightness', [-1, *PAIRS[:3]]),
        (dict(type='ColorJitter'), 'hue', [-1, (1,), NAN]),
        (dict(type='RandAugment'), 'num_policies', [-1, 10**9]),
        (dict(type='RandAugment'), 'total_level', [0, -1]),
        (dict(type='RandAugment'), 'magnitude_std', [-1, 'big']),
        (dict(type='RandAugment'), 'prob', SHARES),
        (dict(type='RandAugment'), 'pad_val', COLOURS),
        (dict(type='RandomErasing'), 'erase_prob', SHARES),
        (dict(type='RandomErasing'), 'max_area_ratio', [0, *SHARES]),
        (dict(type='RandomErasing'), 'aspect_range', [0, -1, (2, 1)]),
        (dict(type='RandomErasing'), 'fill_color', COLOURS),
        (dict(type='RandomResize', scale=(64, 64)), 'scale', [64, (64, 0), (64, 1 << 17)]),
        (dict(type='RandomResize', scale=(64, 64)), 'ratio_range', [*PAIRS, (0, 1), (1, 1e6)]),
        (dict(type='ResizeByFactor', factor=1), 'factor', [0, -1, 1e6]),
        (dict(type='SegRandomCrop', crop_size=64), 'crop_size', SIZES),
        (dict(type='SegRandomCrop', crop_size=64), 'cat_max_ratio', [0, *SHARES]),
        (dict(type='SegPhotoMetricDistortion'), 'hue_delta', [0, 1.5, 181]),
        (dict(type='PadToSize', size=64), 'size', SIZES),
        (dict(type='PadToSize', size=64), 'pad_val', COLOURS),
        (dict(type='Preprocess', **MEAN_STD), 'mean', [(0, 0), (0, 0, NAN), 0]),
        (dict(type='Preprocess', **MEAN_STD), 'std', [(1, 1), (1, 1, 0), (1, 1, -1), (1, 1, NAN)]),
        (dict(type='Mixup'), 'alpha', [0, -1, INF]),
        (dict(type='BN'), 'eps', [0, -1]),
        (dict(type='BN'), 'momentum', [-1, 2]),
        (dict(type='soft_nms', iou_thr=0.5), 'method', ['gauss', None]),
        (dict(type='RepeatDataset', dataset=None, times=2), 'times', [0, -1, 0.5]),
        (dict(type='SmoothL1Loss'), 'beta', [0, -1]),
        (dict(type='CrossEntropyLoss'), 'loss_weight', ['5', -1, NAN]),
    ],
)  # fmt: skip
def test_a_value_of_a_part_outside_its_range_is_named(node, key, values):
    registry.check(node)
    for value in values:
        with pytest.raises(ConfigError, match=rf'^step\.{key}.* is not '):
            registry.check({**node, key: value}, 'step')


def without_range(annotation) -> bool:
    """Whether a plain number is among the types of an annotation."""
    if get_origin(annotation) is Annotated:
        return False
    return annotation in (int, float) or any(map(without_range, get_args(annotation)))


def test_every_number_of_every_part_has_a_range():
    """A new argument says which values it takes: ``hrdet.ranges``, or ``Number`` for all."""
    classes = {cls for cls in registry._CLASSES.values() if cls.__module__.startswith('hrdet.')}
    assert len(classes) > 60
    missing = [
        f'{cls.__name__}.{parameter.name}: {parameter.annotation}'
        for cls in classes
        for parameter in registry._parameters(cls).values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name != 'dataset'
        and without_range(parameter.annotation)
    ]
    assert not missing
