"""Parts that do not fit each other are refused when the model is built."""

import pytest
import torch
from torch import nn

from hrdet.config import load_config, lower
from hrdet.models import build_model
from hrdet.registry import ConfigError, register
from tests.config.published import CONFIGS

HRNET = 'hrnet/'
FASTER = HRNET + 'faster_rcnn_hrnetv2p_w18_1x.py'
MASK = HRNET + 'mask_rcnn_hrnetv2p_w18_1x.py'
CASCADE = HRNET + 'cascade_rcnn_hrnetv2p_w32_20e.py'
HTC = HRNET + 'htc_hrnetv2p_w32_20e.py'
FCOS = HRNET + 'fcos_hrnetv2p_w18_mstrain_gn_2x_4gpu.py'
CLASSIFIER = 'quickstart/hrnet-w18-small_classification.py'
SEGMENTOR = 'quickstart/fcn_hr18s.py'
SIX = [4, 8, 16, 32, 64, 128]

# The config, the section and its wrong values, the part that is named, and what the message says.
MISFITS = [
    (FASTER, 'neck', dict(in_channels=[32, 64, 128, 256]), 'neck', r'backbone gives \[18, 36, 72'),
    (FASTER, 'neck', dict(in_channels=[18, 36, 72]), 'neck', r'channels \[18, 36, 72\], but'),
    (FASTER, 'neck', dict(out_channels=128), 'rpn_head', r'channels \[256, .* gives \[128, 128'),
    (FASTER, 'neck', dict(num_outs=4), 'rpn_head', r'strides .* the neck gives \[4, 8, 16, 32\]$'),
    (FASTER, 'neck', dict(stride=2), 'rpn_head', r'strides \[4, .* the neck gives \[8, 16'),
    (FASTER, 'neck', dict(type='FPN', num_outs=6), 'rpn_head', r'neck gives .* 64, 128\]'),
    (FASTER, 'rpn_head', dict(in_channels=128), 'rpn_head', r'channels \[128'),
    (FASTER, 'rpn_head', dict(anchor_strides=SIX), 'rpn_head', r'64, 128\], but'),
    (FASTER, 'rpn_head', dict(anchor_strides=SIX[1:]), 'rpn_head', r'strides \[8, 16'),
    (FASTER, 'bbox_roi_extractor', dict(featmap_strides=SIX), 'bbox_roi_extractor', 'strides'),
    (FASTER, 'bbox_roi_extractor', dict(out_channels=128), 'bbox_roi_extractor', 'channels'),
    (FASTER, 'bbox_head', dict(in_channels=128), 'bbox_head', r'bbox_roi_extractor gives \[256\]'),
    (FASTER, 'bbox_head', dict(roi_feat_size=14), 'bbox_head', 'roi_feat_size=14, .* of 7 '),
    (MASK, 'mask_head', dict(in_channels=128), 'mask_head', r'mask_roi_extractor gives \[256\]'),
    (MASK, 'mask_roi_extractor', dict(featmap_strides=SIX), 'mask_roi_extractor', 'strides'),
    (CASCADE, 'bbox_head.2', dict(in_channels=128), 'bbox_head', r'bbox_roi_extractor gives'),
    (HTC, 'semantic_head', dict(num_ins=4), 'semantic_head', 'num_ins.*gives 5 maps'),
    (HTC, 'semantic_head', dict(in_channels=128), 'semantic_head', r'channels \[128'),
    (HTC, 'semantic_head', dict(fusion_level=5), 'semantic_head', 'fusion_level=5'),
    (HTC, 'semantic_head', dict(conv_out_channels=128), 'semantic_roi_extractor', r'\[128\]$'),
    (HTC, 'semantic_roi_extractor', dict(featmap_strides=[4]), 'semantic_roi_extractor', r'\[8\]$'),
    (FCOS, 'bbox_head', dict(in_channels=128), 'bbox_head', r'channels \[128'),
    (FCOS, 'neck', dict(num_outs=4), 'bbox_head', r'the neck gives \[8, 16, 32, 64\]$'),
    (FCOS, 'neck', dict(stride=1), 'bbox_head', r'the neck gives \[4, 8'),
    (CLASSIFIER, 'neck.0', dict(in_channels=[18, 36, 72]), 'neck', r'gives \[18, 36, 72, 144\]'),
    (CLASSIFIER, 'head', dict(in_channels=1024), 'head', r'\[1024\], but the neck gives \[2048\]'),
    (
        SEGMENTOR,
        'decode_head',
        dict(in_channels=[18, 36, 72, 145]),
        'decode_head',
        r'the backbone gives',
    ),
]


def _built(config, changes):
    run = lower(load_config(CONFIGS / config, {'model.pretrained': None, **changes}))
    classes = tuple(f'class {i}' for i in range(80 if config.startswith(HRNET) else 3))
    return build_model(run, classes, fresh=False)


@pytest.mark.parametrize(('config', 'section', 'wrong', 'named', 'text'), MISFITS)
def test_a_part_that_does_not_fit_is_named(config, section, wrong, named, text):
    changes = {f'model.{section}.{key}': value for key, value in wrong.items()}
    with pytest.raises(ConfigError, match=rf'^model\.{named}\b.*, written in .*{text}'):
        _built(config, changes)


def test_a_neck_that_states_nothing_is_taken():
    @register()
    class SilentNeck(nn.Module):
        def __init__(self, in_channels: list[int]) -> None:
            super().__init__()

        def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
            return features

    model = _built(FASTER, {'model.neck': dict(type='SilentNeck', _delete_=True)})
    assert model.maps is None


def test_levels_are_those_of_the_neck():
    images = torch.zeros(1, 3, 128, 192)
    for config, neck in (
        (FASTER, {}),
        (FASTER, dict(type='FPN', in_channels=[18, 36, 72, 144], num_outs=5)),
        (FCOS, {}),
    ):
        changes = {'model.neck': dict(neck, _delete_=True)} if neck else {}
        model = _built(config, changes).eval()
        with torch.no_grad():
            levels = model.neck(model.backbone(images))
        assert [level.shape[1] for level in levels] == list(model.maps.channels)
        assert [128 // level.shape[2] for level in levels] == list(model.maps.strides)
