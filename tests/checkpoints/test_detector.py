"""The published checkpoints fit hrdet's own Faster R-CNN."""

import pytest
import torch

from hrdet.checkpoints import Family, load_checkpoint
from hrdet.config import load_config, lower
from hrdet.engine.build import build_model

RELEASES = {
    Family.HRNET_DETECTION: 'hrnet_release/faster_rcnn_hrnetv2p_{}_1x',
    Family.MMDET1: 'mmdet1/faster_rcnn_hrnetv2p_{}_1x',
    Family.MMDET3: 'mmdet3/faster-rcnn_hrnetv2p-{}-1x_coco',
}


def detector(root, width):
    config = load_config(root / 'configs' / 'hrnet' / f'faster_rcnn_hrnetv2p_{width}_1x.py')
    return build_model(lower(config), tuple(map(str, range(80))))


@pytest.mark.parametrize('width', ['w18', 'w32', 'w40'])
def test_layout_is_that_of_mmdetection_3(pytestconfig, shapes_of, width):
    model = detector(pytestconfig.rootpath, width)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert shapes == shapes_of(RELEASES[Family.MMDET3].format(width), light=False)


def test_every_family_gives_the_same_detector(pytestconfig, shapes_of, weights_for):
    """One set of weights, written in three layouts by hand, arrives as the same state."""
    model = detector(pytestconfig.rootpath, 'w18')
    modern = weights_for(shapes_of(RELEASES[Family.MMDET3].format('w18'), light=False))
    unused = torch.full((4, 1024), 9.0)  # deltas of the background: anything
    for family in RELEASES:
        weights = dict(modern)
        if family is not Family.MMDET3:
            weights = {key.removeprefix('roi_head.'): value for key, value in modern.items()}
            for leaf, spare in (('weight', unused), ('bias', unused[:, 0])):
                scores = weights[f'bbox_head.fc_cls.{leaf}']
                weights[f'bbox_head.fc_cls.{leaf}'] = torch.cat((scores[80:], scores[:80]))
                deltas = weights[f'bbox_head.fc_reg.{leaf}']
                weights[f'bbox_head.fc_reg.{leaf}'] = torch.cat((spare, deltas))
        if family is Family.HRNET_DETECTION:
            for level in range(5):
                for leaf in ('weight', 'bias'):
                    moved = weights.pop(f'neck.fpn_convs.{level}.conv.{leaf}')
                    weights[f'neck.fpn_conv.{level}.{leaf}'] = moved
            for leaf in ('weight', 'bias'):
                moved = weights.pop(f'neck.reduction_conv.conv.{leaf}')
                weights[f'neck.reduction_conv.0.{leaf}'] = moved
        for value in model.state_dict().values():
            value.zero_()
        report = load_checkpoint(model, weights)
        assert report.family is family
        assert bool(report.warnings) == (family is Family.MMDET3)  # the config is inclusive
        assert all(torch.equal(value, modern[key]) for key, value in model.state_dict().items())
