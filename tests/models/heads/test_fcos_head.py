import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hrdet.losses import CrossEntropyLoss, FocalLoss, IoULoss
from hrdet.models.heads import FCOSHead
from hrdet.models.layers import GN
from hrdet.models.multiclass_nms import split_detections
from hrdet.registry import ConfigError, build

LOSSES = FocalLoss(), IoULoss(), CrossEntropyLoss(use_sigmoid=True)
NORM = GN(4)
RANGES = [(-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)]


def make_head(num_classes=80, channels=8, strides=(8, 16), norm_cfg=NORM, **options):
    ranges = RANGES[: len(strides)]
    convention = options.pop('convention', 'inclusive')
    options.setdefault('feat_channels', channels)
    return FCOSHead(
        num_classes, channels, strides, ranges, *LOSSES, convention, norm_cfg, **options
    )


@pytest.mark.parametrize(
    ('folder', 'name', 'field', 'old'),
    [
        ('mmdet1', 'fcos_hrnetv2p_w18_gn_1x_4gpu', 'state_dict', 'fcos_'),
        ('mmdet3', 'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco', 'keys', 'conv_'),
    ],
)
def test_names_and_shapes_are_mmdetection_s(reference_dir, folder, name, field, old):
    file = reference_dir / 'manifests' / folder / f'{name}.json'
    expected = {
        key.removeprefix('bbox_head.').replace(old, 'conv_'): shape
        for key, shape in json.loads(file.read_text())[field]
        if key.startswith('bbox_head.')
    }
    with torch.device('meta'):
        head = make_head(80, 256, (8, 16, 32, 64, 128), GN(32))
    assert {k: list(v.shape) for k, v in head.state_dict().items()} == expected


def test_forward_against_the_formula():
    """Classes and centre-ness from one tower, distances from the other; rows run along x."""
    torch.manual_seed(0)
    head = make_head(3, stacked_convs=2).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    features = [torch.randn(2, 8, 4, 5).double(), torch.randn(2, 8, 2, 3).double()]
    out = head(features)
    for level, x in enumerate(features):
        maps = {}
        for tower in ('cls_convs', 'reg_convs'):
            hidden = x
            for layer in getattr(head, tower):
                hidden = F.conv2d(hidden, layer.conv.weight, padding=1)
                hidden = F.group_norm(hidden, 4, layer.gn.weight, layer.gn.bias).relu()
            maps[tower] = hidden
        for got, layer, tower, factor in (
            (out.logits, head.conv_cls, 'cls_convs', 1),
            (out.centerness, head.conv_centerness, 'cls_convs', 1),
            (out.log_distances, head.conv_reg, 'reg_convs', head.scales[level].scale),
        ):
            expected = F.conv2d(maps[tower], layer.weight, layer.bias, padding=1) * factor
            rows = got[level].reshape(2, *x.shape[2:], -1)
            # The rows are float32.
            torch.testing.assert_close(rows, expected.movedim(1, 3).float(), rtol=1e-5, atol=1e-6)
    assert [tuple(points[1].tolist()) for points in out.points] == [(12.0, 4.0), (24.0, 8.0)]


def test_a_new_head_expects_next_to_nothing():
    head = make_head()
    out = head([torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)])
    assert out.logits[0].sigmoid().mean().item() == pytest.approx(0.01, rel=0.05)
    assert [layer.conv.bias for layer in head.cls_convs] == [None] * 4
    assert make_head(norm_cfg=None).cls_convs[0].conv.bias is not None


@pytest.mark.parametrize('name', ['nofactor_max100', 'factor_max100', 'factor_max1000'])
def test_suppression_is_mmdetection_s(reference_dir, name):
    """The threshold is for class scores, the ranking for their product with centre-ness."""
    with np.load(reference_dir / 'fcos_ops.npz') as file:
        golden = {k: torch.from_numpy(file[k]) for k in file.files if k.startswith('mcnms')}
    classes = golden['mcnms_scores'][:, 1:]  # the first column is the background
    factor = 1 if name.startswith('no') else golden['mcnms_factors'][:, None]
    scores = torch.where(classes > 0.05, classes * factor, -torch.inf)
    boxes = golden['mcnms_bboxes'] + torch.tensor([0, 0, 1, 1])
    head = make_head(5, max_per_img=int(name.rpartition('max')[2]))
    (found,) = split_detections(*head.select(boxes[None], scores[None]))
    expected, labels = golden[f'mcnms_{name}_dets'], golden[f'mcnms_{name}_labels']
    order = expected[:, 4].argsort(descending=True, stable=True)
    assert torch.equal(found.labels, labels[order])
    got = torch.cat([found.boxes - torch.tensor([0, 0, 1, 1]), found.scores[:, None]], 1)
    torch.testing.assert_close(got, expected[order], rtol=0, atol=1e-4)


def test_mistakes():
    with pytest.raises(ValueError, match='1 feature maps for 2 strides'):
        make_head()([torch.zeros(1, 8, 4, 4)])
    losses = dict(zip(('loss_cls', 'loss_bbox', 'loss_centerness'), LOSSES))
    sizes = dict(num_classes=3, in_channels=8, strides=[8, 16], regress_ranges=RANGES)
    node = dict(type='FCOSHead', convention='inclusive', norm_cfg=None) | losses | sizes
    with pytest.raises(ConfigError, match=r'bbox_head .FCOSHead.: 5 regress_ranges for 2 strides'):
        build(node, 'model.bbox_head')
