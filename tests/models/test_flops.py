"""Counted costs against sums over the layers' shapes, written out by hand."""

import json

import pytest
import torch
from torch import nn

from hrdet.models.classifiers import ImageClassifier
from hrdet.models.detectors import FCOS
from hrdet.models.flops import model_cost
from hrdet.models.heads.linear_cls_head import LinearClsHead
from hrdet.registry import build
from tests.models import toy_detectors as toys
from tests.models.classifiers.test_image_classifier import classifier
from tests.models.segmentors.test_encoder_decoder import segmentor


def detector(stride=1):
    coder = dict(type='DeltaCoder', means=[0.0] * 4, stds=[1.0] * 4)
    losses = dict(
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True), loss_bbox=dict(type='L1Loss')
    )
    anchors = dict(
        type='AnchorGenerator',
        strides=[s * stride for s in (4, 8, 16, 32, 64)],
        scales=[8],
        ratios=[1.0],
        convention='inclusive',
    )
    extractor = dict(
        type='SingleRoIExtractor',
        out_size=7,
        sample_num=2,
        out_channels=16,
        featmap_strides=[s * stride for s in (4, 8, 16, 32)],
        convention='inclusive',
    )
    box_head = dict(
        type='SharedFCBBoxHead',
        num_classes=3,
        coder=coder,
        in_channels=16,
        fc_out_channels=32,
        **losses,
    )
    node = dict(
        type='FasterRCNN',
        preprocess=dict(type='Preprocess', mean=[0.0] * 3, std=[1.0] * 3),
        backbone=dict(type='HRNet', width='18-small'),
        neck=dict(type='HRFPN', in_channels=[18, 36, 72, 144], out_channels=16, stride=stride),
        rpn_head=dict(
            type='RPNHead',
            in_channels=16,
            feat_channels=8,
            anchors=anchors,
            coder=coder,
            convention='inclusive',
            **losses,
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=extractor,
            bbox_head=box_head,
            convention='inclusive',
        ),
        convention='inclusive',
    )
    return build(node).to('meta')


def positions(sizes):
    return sum(h * w for h, w in sizes)


def test_neck_and_heads():
    cost = model_cost(detector(), (100, 96), rois=10)
    sizes = [(25, 24), (12, 12), (6, 6), (3, 3), (1, 1)]
    assert cost.macs['neck'] == 270 * 16 * 25 * 24 + 9 * 16 * 16 * positions(sizes)
    assert cost.macs['rpn_head'] == (9 * 16 * 8 + 8 * 5) * positions(sizes)
    assert cost.macs['bbox_head'] == 10 * (16 * 49 * 32 + 32 * 32 + 32 * (4 + 12))


def test_whole_levels_are_rounded_up():
    cost = model_cost(detector(), (100, 96), whole_levels=True)
    sizes = [(25, 24), (13, 12), (7, 6), (4, 3), (2, 2)]
    assert cost.macs['neck'] == 270 * 16 * 25 * 24 + 9 * 16 * 16 * positions(sizes)


def test_neck_of_stride_two():
    cost = model_cost(detector(stride=2), (128, 128))
    sizes = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    assert cost.macs['neck'] == 270 * 16 * 32 * 32 + 9 * 16 * 16 * positions(sizes)
    assert cost.macs['rpn_head'] == (9 * 16 * 8 + 8 * 5) * positions(sizes)


def test_backbone_and_parameters():
    net = detector()
    cost = model_cost(net, (64, 96))
    macs = []
    for module in net.backbone.modules():
        module.training = True  # also norms that rest: they would be part of their convolutions
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda conv, _, out: macs.append(conv.weight.numel() * out.shape[2] * out.shape[3])
            )
    net.backbone(torch.zeros(1, 3, 64, 96, device='meta'))
    assert cost.macs['backbone'] == sum(macs)
    assert cost.parameters == sum(p.numel() for p in net.parameters())
    assert cost.total_macs == sum(cost.macs.values())


# For a region of 3 x 3, and of 6 x 6 features: 6 channels throughout, 3 classes.
BOX = 6 * 9 * 16 + 16 * 16 + 16 * 4  # two hidden layers of 16, classes and background
MASK = 2 * 9 * 6 * 6 * 36 + 6 * 6 * 4 * 36 + 6 * 3 * 144  # two convolutions, doubled, classes
# At stride 8, of four levels: laterals, two convolutions, embedding, five classes.
SEMANTIC = (4 * 36 + 2 * 9 * 36 + 36 + 6 * 5) * 8 * 12


@pytest.mark.parametrize(
    ('kind', 'parts'),
    [
        ('faster', dict(bbox_head=10 * (BOX + 16 * 12))),
        ('mask', dict(bbox_head=10 * (BOX + 16 * 12), mask_head=7 * MASK)),
        ('cascade', dict(bbox_head=10 * 3 * (BOX + 16 * 4))),
        ('cascade_mask', dict(bbox_head=10 * 3 * (BOX + 16 * 4), mask_head=7 * 3 * MASK)),
        (
            'htc',
            dict(
                semantic_head=SEMANTIC,
                bbox_head=10 * 3 * (BOX + 16 * 4),
                mask_head=7 * (3 * MASK + 2 * 36 * 36),  # and the way from stage to stage
            ),
        ),
    ],
)
def test_heads_of_all_stages(kind, parts):
    cost = model_cost(toys.detector(kind).to('meta'), (64, 96), rois=10, masks=7)
    first_stage = dict(
        backbone=sum(3 * 6 * 64 * 96 for _ in toys.STRIDES),
        neck=0,  # not an HRFPN: what its forward does
        rpn_head=(9 * 6 * 6 + 6 * 3 * 5) * (384 + 96 + 24 + 6),
    )
    assert cost.macs == first_stage | parts


def test_more_masks_than_regions():
    cost = model_cost(toys.detector('mask').to('meta'), (64, 96), rois=2, masks=9)
    assert cost.macs['mask_head'] == 9 * MASK


def test_towers_of_fcos_on_all_levels():
    net = detector(stride=2)
    head = dict(
        type='FCOSHead',
        num_classes=3,
        in_channels=16,
        stacked_convs=2,
        feat_channels=8,
        strides=[8, 16, 32, 64, 128],
        regress_ranges=[(-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)],
        norm_cfg=dict(type='GN', num_groups=2),
        loss_cls=dict(type='FocalLoss'),
        loss_bbox=dict(type='IoULoss'),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
        convention='inclusive',
    )
    net = FCOS(net.preprocess, net.backbone, net.neck, build(head), 'inclusive').to('meta')
    cost = model_cost(net, (128, 128))
    places = positions([(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)])
    assert set(cost.macs) == {'backbone', 'neck', 'bbox_head'}
    assert cost.macs['bbox_head'] == places * 9 * (2 * (16 * 8 + 8 * 8) + 8 * (3 + 1 + 4))


def test_a_classifier():
    """Of its parts the heads that it declares."""

    class Pool(nn.Module):
        def forward(self, maps):
            return maps[-1].mean((2, 3))

    net = detector()
    net = ImageClassifier(net.preprocess, net.backbone, [Pool()], LinearClsHead(5, 144)).to('meta')
    assert model_cost(net, (64, 96)).macs.items() >= dict(neck=0, head=144 * 5).items()


@pytest.mark.parametrize('width', [18, 30, 32, 40, 44, 48, 64])
def test_the_table_of_classifiers(reference_dir, width):
    """To the last operation, which is more than the table prints."""
    table = json.loads((reference_dir / 'manifests/tasks/cls_flops.json').read_text())[f'w{width}']
    with torch.device('meta'):
        cost = model_cost(classifier(width, 1000))
    assert cost.parameters == table['metafile_params']
    assert cost.feature_flops == table['metafile_flops']
    assert cost.macs['head'] == table['hook']['linear']
    assert cost.macs['backbone'] + cost.macs['neck'] == table['hook']['conv']
    assert cost.size == (224, 224)


@pytest.mark.parametrize(
    ('width', 'backbone', 'head'),
    [('18-small', 16.66, 2.56), (18, 34.29, 2.56), (48, 169.44, 17.44)],
)
def test_segmentors_at_512_x_1024(width, backbone, head):
    with torch.device('meta'):
        cost = model_cost(segmentor(width, 19))
    found = cost.macs['backbone'] / 1e9, cost.macs['decode_head'] / 1e9
    assert found == pytest.approx((backbone, head), abs=0.005)  # as printed
    assert cost.size == (512, 1024)


def test_counting_changes_no_model():
    model = classifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    model_cost(model, (64, 64))
    assert not any(module.training for module in model.modules())
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module._forward_hooks for module in model.modules())
