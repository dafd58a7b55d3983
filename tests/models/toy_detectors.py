"""Two-stage detectors of every kind, small enough for loops."""

import numpy as np
import torch
from torch import nn

from hrdet.boxes import AnchorGenerator, DeltaCoder
from hrdet.losses import CrossEntropyLoss, SmoothL1Loss
from hrdet.matching import MaxIoUAssigner, RandomSampler
from hrdet.models.detectors import TwoStageDetector
from hrdet.models.heads import (
    FCNMaskHead,
    FusedSemanticHead,
    HTCMaskHead,
    ProposalConfig,
    RPNHead,
    SharedFCBBoxHead,
)
from hrdet.models.preprocess import Preprocess
from hrdet.models.roi import (
    NMS,
    CascadeRoIHead,
    HybridTaskCascadeRoIHead,
    RoISampler,
    SingleRoIExtractor,
    StandardRoIHead,
)
from tests.models.reference_regions import Recipe
from tests.models.toy_batches import STUFF

STRIDES = [4, 8, 16, 32]  # regions come from the first three
CLASSES, WIDTH = 3, 6
BOX, MASK = 3, 6  # bins of a region
SAMPLES = {'inclusive': 2, 'continuous': 0}  # of a bin and axis, as the configs of both have them
STDS = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
OVERLAPS = [0.5, 0.6, 0.7]
KINDS = ['faster', 'mask', 'cascade', 'cascade_mask', 'htc']


class Pyramid(nn.Module):
    """Backbone of random strided convolutions."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, WIDTH, s, stride=s) for s in STRIDES)

    def forward(self, images):
        return [conv(images) for conv in self.convs]


def recipe(convention, stages=1, weights=(1, 0.5, 0.25), score_thr=0.05):
    """What the references need to know of ``detector``."""
    return Recipe(
        one=int(convention == 'inclusive'),
        classes=CLASSES,
        strides=STRIDES[:3],
        finest=14,
        box_size=BOX,
        mask_size=MASK,
        samples=SAMPLES[convention],
        stds=[np.array(stds) for stds in STDS[:stages]],
        overlaps=OVERLAPS[:stages],
        stage_weights=list(weights[:stages]),
        score_thr=score_thr,
        max_per_img=20,
    )


def detector(kind, convention='inclusive', num=112, agnostic=None, semantic=True, **head):
    """One of ``KINDS``.  With ``num`` 112 every proposal and every object is sampled.

    ``head`` are further arguments of its RoI head; ``agnostic`` is for the boxes.
    """
    torch.manual_seed(0)
    agnostic = kind not in ('faster', 'mask') if agnostic is None else agnostic
    roi = roi_head(kind, convention, num, agnostic, semantic, head)
    spread(roi)
    rpn = rpn_head(convention, num)
    preprocess = Preprocess([0, 0, 0], [50, 50, 50], 'bgr', size_divisor=32)
    return TwoStageDetector(preprocess, Pyramid(), nn.Identity(), rpn, roi, convention)


def rpn_head(convention, num):
    proposals = ProposalConfig(nms_pre=30, nms_post=20, max_num=24, nms_thr=0.7)
    rpn = RPNHead(
        WIDTH,
        WIDTH,
        AnchorGenerator(STRIDES, [4], [0.5, 1.0, 2.0], convention=convention),
        DeltaCoder([0] * 4, [1] * 4),
        CrossEntropyLoss(use_sigmoid=True),
        SmoothL1Loss(beta=1 / 9),
        convention,
        proposals,
        proposals,
        MaxIoUAssigner(0.7, 0.3, 0.3),
        RandomSampler(num, 0.5, add_gt_as_proposals=False),
    )
    for layer in (rpn.rpn_cls, rpn.rpn_reg):
        nn.init.normal_(layer.weight, std=0.5)
    return rpn


def roi_head(kind, convention, num, agnostic, semantic, head):
    def extractor(size, strides=STRIDES[:3], finest=14):
        samples = SAMPLES[convention]
        return SingleRoIExtractor(size, samples, WIDTH, strides, convention, finest_scale=finest)

    def box_head(stage):
        return SharedFCBBoxHead(
            CLASSES,
            DeltaCoder([0] * 4, STDS[stage]),
            CrossEntropyLoss(),
            SmoothL1Loss(),
            in_channels=WIDTH,
            fc_out_channels=16,
            roi_feat_size=BOX,
            reg_class_agnostic=agnostic,
        )

    def sampler(stage):
        overlap = OVERLAPS[stage]
        return RoISampler(MaxIoUAssigner(overlap, overlap, overlap), RandomSampler(num, 0.5))

    widths = dict(num_convs=2, in_channels=WIDTH, conv_out_channels=WIDTH)
    loss_mask = CrossEntropyLoss(use_sigmoid=True)
    shared = dict(
        bbox_roi_extractor=extractor(BOX),
        convention=convention,
        score_thr=0.05,
        nms=NMS(0.5),
        max_per_img=20,
    )
    if kind in ('mask', 'cascade_mask', 'htc'):
        shared |= dict(mask_roi_extractor=extractor(MASK), mask_size=2 * MASK)
    if kind in ('faster', 'mask'):
        if kind == 'mask':
            shared |= dict(mask_head=FCNMaskHead(CLASSES, loss_mask, **widths))
        shared |= dict(bbox_head=box_head(0), region_sampler=sampler(0))
        return StandardRoIHead(**shared | head)
    shared |= dict(
        bbox_head=[box_head(stage) for stage in range(3)],
        region_sampler=[sampler(stage) for stage in range(3)],
        stage_loss_weights=[1, 0.5, 0.25],
    )
    if kind == 'cascade':
        return CascadeRoIHead(**shared | head)
    if kind == 'cascade_mask':
        heads = [FCNMaskHead(CLASSES, loss_mask, **widths) for _ in range(3)]
        return CascadeRoIHead(mask_head=heads, **shared | head)
    flow = head.get('mask_info_flow', True)
    shared['mask_head'] = [
        HTCMaskHead(
            num_classes=CLASSES,
            loss_mask=loss_mask,
            **widths,
            with_conv_res=flow and stage > 0,
        )
        for stage in range(3)
    ]
    if semantic:
        shared['semantic_roi_extractor'] = extractor(MASK, [8])
        shared['semantic_head'] = FusedSemanticHead(STUFF, num_ins=len(STRIDES), **widths)
    return HybridTaskCascadeRoIHead(**shared | head)


def spread(roi):
    """Larger weights: near zero every score is the same, and every mask fills its box."""
    for name, parameter in roi.named_parameters():
        if name.endswith('fc_cls.weight'):
            nn.init.normal_(parameter, std=1.0)
            parameter.data -= parameter.data.mean(1, keepdim=True)
        elif name.endswith('fc_reg.weight'):
            nn.init.normal_(parameter, std=0.15)
        elif name.endswith('conv_logits.weight'):
            nn.init.normal_(parameter, std=2.0)
        elif name.endswith('shared_fcs.0.weight'):
            # Without what all regions have in common, lest all be of one class (so is fc_cls).
            bins = parameter.data.unflatten(1, (WIDTH, BOX * BOX))
            bins -= bins.mean(2, keepdim=True)
            bins *= 3
        elif name.endswith('bias'):
            nn.init.normal_(parameter, std=0.1)


def weights(roi):
    """The parameters of a RoI head as float64 leaves of their own."""
    return {
        name: parameter.detach().double().requires_grad_()
        for name, parameter in roi.named_parameters()
    }


def numbers(roi):
    """As ``weights``, without gradients."""
    return {name: parameter.detach() for name, parameter in weights(roi).items()}


@torch.no_grad()
def features(detector, batch):
    return detector.extract(batch)


@torch.no_grad()
def propose(detector, batch):
    """Features and proposals, which ``test_faster_rcnn`` checks."""
    features = detector.extract(batch)
    return features, detector.rpn_head.propose(detector.rpn_head(features), batch)
