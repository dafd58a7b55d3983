"""Two-stage detectors and batches small enough for loops: two images in 64 x 96 pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils
from torch import nn

from hrdet.boxes import AnchorGenerator, DeltaCoder, clip_boxes
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
    RegionSampler,
    SingleRoIExtractor,
    StandardRoIHead,
)
from hrdet.structures import Batch, GroundTruth, ImageMeta, Proposals
from tests.models.reference_mask import paste
from tests.models.reference_regions import Recipe, Truth, View

STRIDES = [4, 8, 16, 32]  # regions come from the first three
SIZES = [(60, 90), (64, 70)]
CLASSES, STUFF, WIDTH = 3, 5, 6
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
        return RegionSampler(MaxIoUAssigner(overlap, overlap, overlap), RandomSampler(num, 0.5))

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
        HTCMaskHead(CLASSES, loss_mask, **widths, with_conv_res=flow and stage > 0)
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


def batch(with_truth=True, flipped=False, factor=0.5, sizes=SIZES, seed=1):
    """Two images of ``sizes``, at ``factor`` of their original size, in 64 x 96 pixels or more."""
    generator = torch.Generator().manual_seed(seed)
    padded = tuple(-(-max(side) // 32) * 32 for side in zip(*sizes))
    images = torch.randint(0, 255, (2, 3, *padded), generator=generator, dtype=torch.uint8)
    metas = [
        ImageMeta(
            f'{i}.jpg',
            i,
            (int(h / factor), int(w / factor)),
            (h, w),
            padded,
            (factor, factor),
            flipped,
        )
        for i, (h, w) in enumerate(sizes)
    ]
    made = Batch(
        images,
        metas,
        torch.tensor(sizes, dtype=torch.float32),
        torch.tensor([padded] * 2, dtype=torch.float32),
    )
    return replace(made, truth=truth(generator)) if with_truth else made


def truth(generator):
    """Ellipses of whole pixels, and a map of stuff at stride 8 with unlabelled pixels."""
    boxes = torch.zeros(2, 3, 4)
    boxes[0] = torch.tensor([[4.0, 5, 30, 33], [40, 10, 80, 50], [10, 30, 26, 58]])
    boxes[1, :2] = torch.tensor([[0.0, 0, 20, 16], [30, 20, 66, 60]])
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(96) + 0.5, indexing='ij')
    x1, y1, x2, y2 = boxes[..., None, None, :].unbind(-1)
    across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
    semantic = torch.randint(0, STUFF, (2, 8, 12), generator=generator, dtype=torch.uint8)
    semantic[0, 2:4, :5] = 255
    return GroundTruth(
        boxes,
        torch.tensor([[0, 2, 1], [1, 0, 0]]),
        torch.zeros(2, 0, 4),
        masks=(across**2 + down**2 <= 1).to(torch.uint8),
        semantic=semantic,
        valid=torch.tensor([[True] * 3, [True, True, False]]),
        ignored_valid=torch.zeros(2, 0, dtype=torch.bool),
    )


def own(boxes, one):
    """Boxes as hrdet stores them to boxes as the model's convention writes them."""
    return np.asarray(boxes, float) - np.array([0, 0, one, one])


def truths(batch, one):
    rows = []
    for i, valid in enumerate(batch.truth.valid):
        boxes = own(batch.truth.boxes[i][valid], one)
        labels = batch.truth.labels[i][valid].tolist()
        rows.append(Truth(boxes, labels, batch.truth.masks[i][valid].numpy()))
    return rows


def pyramids(features):
    """Feature maps of a batch as one float64 pyramid an image."""
    count = len(features[0])
    return [[level[i].detach().double() for level in features] for i in range(count)]


def views(batch, features):
    """One view of each image of a batch."""
    return [
        View(pyramid, meta.input_size, meta.scale, meta.flipped)
        for pyramid, meta in zip(pyramids(features), batch.metas)
    ]


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


def close_to(truth):
    """Proposals that find objects at every stage: copies of these, off by some of their size.

    Every fourth is a row without a proposal.
    """
    generator = torch.Generator().manual_seed(2)
    boxes = truth.boxes.repeat(1, 12, 1)
    size = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 2)
    shift = torch.linspace(0, 0.25, boxes.shape[1])[:, None]
    boxes = boxes + shift * size * torch.randn(boxes.shape, generator=generator)
    boxes = clip_boxes(boxes, torch.tensor(SIZES)[:, None], 'inclusive')
    valid = truth.valid.repeat(1, 12)
    valid[:, ::4] = False
    return Proposals(boxes, valid.float(), valid)


def rows(proposals, one):
    """The boxes of each image in the model's convention."""
    return [own(b[v], one) for b, v in zip(proposals.boxes, proposals.valid)]


def assert_trains_as(detector, batch, features, proposals, expected, parameters):
    """The losses of the second stage, and their gradients, are those of a reference.

    1e-4 of the value, or of a parameter's largest gradient: float32 through up to three stages.
    """
    losses = detector.roi_head.loss(features, proposals, batch)
    assert set(losses) == set(expected)
    for name, value in expected.items():
        assert value > 0, name
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-4), name
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    for name, parameter in detector.roi_head.named_parameters():
        wanted = parameters[name].grad
        error = (parameter.grad - wanted).abs().max()
        assert error <= 1e-4 * wanted.abs().max() > 0, name


def assert_finds(results, found, one):
    """Detections are those of a reference: score, label and box of each, best first."""
    assert len({label for _, label, _ in found}) > 1
    assert results.labels.tolist() == [label for _, label, _ in found]
    np.testing.assert_allclose(results.scores, [score for score, _, _ in found], rtol=2e-4)
    # In pixels of images twice as large as the input, after three float32 exponentials.
    boxes = np.array([box for _, _, box in found])
    np.testing.assert_allclose(own(results.boxes, one), boxes, atol=5e-3)


def assert_paints(results, probabilities, size, one, threshold=0.5):
    """Masks are the pasted probabilities, except where these are at the threshold."""
    area = uncertain = 0
    assert len(results.masks) == len(results)
    masks = np.moveaxis(mask_utils.decode(results.masks), -1, 0)
    for got, probability, box in zip(masks, probabilities, own(results.boxes, one)):
        # The box found, not the reference's: a hair's breadth changes its integer corners.
        wanted = paste(probability, box, size, one)
        assert got.shape == wanted.shape
        clear = np.abs(wanted - threshold) > 1e-4
        np.testing.assert_array_equal(got[clear], (wanted > threshold)[clear])
        area, uncertain = area + got.sum(), uncertain + (~clear).sum()
    assert area > 500
    assert uncertain < 0.01 * area
