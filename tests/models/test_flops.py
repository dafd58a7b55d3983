"""Counted costs against sums over the layers' shapes, written out by hand."""

import torch

import hrdet.models  # noqa: F401
from hrdet.models.flops import detector_cost
from hrdet.registry import build


def detector(stride=1):
    coder = dict(type='DeltaCoder', means=[0.0] * 4, stds=[1.0] * 4)
    losses = dict(
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True), loss_bbox=dict(type='L1Loss')
    )
    anchors = dict(
        type='AnchorGenerator',
        strides=[4, 8, 16, 32, 64],
        scales=[8],
        ratios=[1.0],
        convention='inclusive',
    )
    extractor = dict(
        type='SingleRoIExtractor',
        out_size=7,
        sample_num=2,
        out_channels=16,
        featmap_strides=[4, 8, 16, 32],
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
    cost = detector_cost(detector(), (100, 96), rois=10)
    sizes = [(25, 24), (12, 12), (6, 6), (3, 3), (1, 1)]
    assert cost.macs['neck'] == 270 * 16 * 25 * 24 + 9 * 16 * 16 * positions(sizes)
    assert cost.macs['rpn_head'] == (9 * 16 * 8 + 8 * 5) * positions(sizes)
    assert cost.macs['bbox_head'] == 10 * (16 * 49 * 32 + 32 * 32 + 32 * (4 + 12))


def test_whole_levels_are_rounded_up():
    cost = detector_cost(detector(), (100, 96), whole_levels=True)
    sizes = [(25, 24), (13, 12), (7, 6), (4, 3), (2, 2)]
    assert cost.macs['neck'] == 270 * 16 * 25 * 24 + 9 * 16 * 16 * positions(sizes)


def test_neck_of_stride_two():
    cost = detector_cost(detector(stride=2), (128, 128))
    sizes = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    assert cost.macs['neck'] == 270 * 16 * 32 * 32 + 9 * 16 * 16 * positions(sizes)
    assert cost.macs['rpn_head'] == (9 * 16 * 8 + 8 * 5) * positions(sizes)


def test_backbone_and_parameters():
    net = detector()
    cost = detector_cost(net, (64, 96))
    macs = []
    for module in net.backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda conv, _, out: macs.append(conv.weight.numel() * out.shape[2] * out.shape[3])
            )
    net.backbone(torch.zeros(1, 3, 64, 96, device='meta'))
    assert cost.macs['backbone'] == sum(macs)
    assert cost.parameters == sum(p.numel() for p in net.parameters())
    assert cost.total_macs == sum(cost.macs.values())
