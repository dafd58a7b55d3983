"""Faster R-CNN's losses, proposals and detections against loops over the release's formulae."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hrdet.boxes import AnchorGenerator, DeltaCoder
from hrdet.losses import CrossEntropyLoss, SmoothL1Loss
from hrdet.matching import MaxIoUAssigner, OHEMSampler, RandomSampler
from hrdet.models.detectors import TwoStageDetector
from hrdet.models.heads import ProposalConfig, RPNHead, SharedFCBBoxHead
from hrdet.models.preprocess import Preprocess
from hrdet.models.roi import NMS, RoISampler, SingleRoIExtractor, StandardRoIHead
from hrdet.structures import Batch, GroundTruth, ImageMeta
from tests.models import reference_2019 as release

STRIDES = [4, 8, 16]
SIZES = [(60, 90), (64, 70)]  # of the two images in a 64 x 96 batch
RATIOS = [0.5, 1.0, 2.0]
CLASSES = 3
STDS = np.array([0.1, 0.1, 0.2, 0.2])


class Pyramid(nn.Module):
    """Backbone of random strided convolutions: maps of 8 channels at strides 4, 8, 16."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 8, s, stride=s) for s in STRIDES)

    def forward(self, images):
        return [conv(images) for conv in self.convs]


def make_detector(convention='inclusive', num=100_000, max_per_img=100):
    torch.manual_seed(0)
    proposals = ProposalConfig(nms_pre=60, nms_post=40, max_num=50, nms_thr=0.7)
    rpn = RPNHead(
        8,
        8,
        AnchorGenerator(STRIDES, [4], RATIOS, convention=convention),
        DeltaCoder([0] * 4, [1] * 4),
        CrossEntropyLoss(use_sigmoid=True),
        SmoothL1Loss(beta=1 / 9),
        convention,
        proposals,
        proposals,
        MaxIoUAssigner(0.7, 0.3, 0.3),
        RandomSampler(num, 0.5, add_gt_as_proposals=False),
    )
    roi = StandardRoIHead(
        SingleRoIExtractor(7, 2, 8, STRIDES, convention, finest_scale=14),
        SharedFCBBoxHead(
            CLASSES,
            DeltaCoder([0] * 4, STDS.tolist()),
            CrossEntropyLoss(),
            SmoothL1Loss(),
            in_channels=8,
            fc_out_channels=16,
        ),
        convention,
        RoISampler(
            MaxIoUAssigner(0.5, 0.5, 0.5), RandomSampler(num, 0.25, add_gt_as_proposals=True)
        ),
        score_thr=0.05,
        nms=NMS(0.5),
        max_per_img=max_per_img,
    )
    preprocess = Preprocess([0, 0, 0], [50, 50, 50], 'bgr', size_divisor=32)
    detector = TwoStageDetector(preprocess, Pyramid(), nn.Identity(), rpn, roi, convention)
    # Spread the outputs, which near zero would make every score the same.
    for layer in (rpn.rpn_cls, rpn.rpn_reg, roi.bbox_head.fc_cls, roi.bbox_head.fc_reg):
        nn.init.normal_(layer.weight, std=0.5)
    return detector


def make_batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 255, (2, 3, 64, 96), generator=generator, dtype=torch.uint8)
    boxes = torch.zeros(2, 3, 4)
    boxes[0] = torch.tensor([[4.0, 5, 30, 33], [40, 10, 80, 50], [10, 30, 26, 58]])
    boxes[1, :2] = torch.tensor([[0.0, 0, 20, 16], [30, 20, 66, 60]])
    valid = torch.tensor([[True] * 3, [True, True, False]])
    truth = GroundTruth(
        boxes,
        torch.tensor([[0, 2, 1], [1, 0, 0]]),
        torch.zeros(2, 0, 4),
        valid=valid,
        ignored_valid=torch.zeros(2, 0, dtype=torch.bool),
    )
    metas = [
        ImageMeta(f'{i}.jpg', i, (h * 2, w * 2), (h, w), (64, 96), (0.5, 0.5))
        for i, (h, w) in enumerate(SIZES)
    ]
    sizes = torch.tensor(SIZES, dtype=torch.float32)
    return Batch(images, metas, sizes, torch.tensor([[64.0, 96]] * 2), truth)


def inclusive(boxes):
    """Continuous boxes as the release writes them."""
    return np.asarray(boxes, float) - np.array([0, 0, 1, 1])


def truths(batch, image):
    kept = batch.truth.valid[image]
    return inclusive(batch.truth.boxes[image][kept]), batch.truth.labels[image][kept].tolist()


@pytest.fixture(scope='module')
def setting():
    detector, batch = make_detector(), make_batch()
    with torch.no_grad():
        features = detector.extract(batch)
        out = detector.rpn_head(features)
    grids = [release.anchors(s, 4, RATIOS, (64 // s, 96 // s)) for s in STRIDES]
    return detector, batch, features, out, grids


def test_rpn_losses_equal_the_release(setting):
    """Every anchor is sampled, so nothing is random; float32 against float64: 1e-5 relative."""
    detector, batch, _, out, grids = setting
    anchors = np.concatenate(grids)
    logits, deltas = torch.cat(out.logits, 1), torch.cat(out.deltas, 1)
    cls = bbox = count = 0
    for i, (h, w) in enumerate(SIZES):
        inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] < w) & (anchors[:, 3] < h)
        rows = np.flatnonzero(inside)
        boxes, _ = truths(batch, i)
        assigned = release.assign(anchors[rows], boxes, 0.7, 0.3, 0.3)
        assert (assigned >= 0).sum() >= len(boxes)
        for row, gt in zip(rows, assigned):
            if gt == -2:
                continue
            x = float(logits[i, row])
            cls += math.log1p(math.exp(-x if gt >= 0 else x))
            if gt >= 0:
                target = release.encode(anchors[row], boxes[gt], np.ones(4))
                bbox += release.smooth_l1(deltas[i, row].double().numpy() - target, 1 / 9)
        count += max((assigned >= 0).sum(), 1) + max((assigned == -1).sum(), 1)
    losses = detector.rpn_head.loss(out, batch)
    assert losses['loss_rpn_cls'].item() == pytest.approx(cls / count, rel=1e-5)
    assert losses['loss_rpn_bbox'].item() == pytest.approx(bbox / count, rel=1e-5)


def test_proposals_equal_the_release(setting):
    detector, batch, _, out, grids = setting
    proposals = detector.rpn_head.propose(out, batch)
    for i, size in enumerate(SIZES):
        candidates = []
        for level, grid in enumerate(grids):
            scores = torch.sigmoid(out.logits[level][i]).double().numpy()
            top = np.argsort(-scores, kind='stable')[:60]
            boxes = [
                release.decode(grid[r], out.deltas[level][i, r].double(), np.ones(4), size)
                for r in top
            ]
            kept = release.nms(boxes, scores[top], 0.7)[:40]
            candidates += [(scores[top[k]], boxes[k]) for k in kept]
        candidates = sorted(candidates, key=lambda c: -c[0])[:50]
        valid = proposals.valid[i]
        assert int(valid.sum()) == len(candidates)
        np.testing.assert_allclose(proposals.scores[i][valid], [c[0] for c in candidates], 1e-6)
        # 1e-3 px: a float32 box of a hundred pixels after exp and clip.
        got = inclusive(proposals.boxes[i][valid])
        np.testing.assert_allclose(got, np.array([c[1] for c in candidates]), atol=1e-3)


def test_nms_across_levels_suppresses_twice(setting):
    """As the release: within each level first, then among what is left of all levels."""
    detector, batch, _, out, _ = make_detector(), *setting[1:]
    config = replace(detector.rpn_head.train_proposals, nms_thr=0.3)
    detector.rpn_head.train_proposals = config
    within = detector.rpn_head.propose(out, batch)
    config = replace(config, nms_across_levels=True)
    detector.rpn_head.train_proposals = config
    across = detector.rpn_head.propose(out, batch)
    config = replace(config, nms_across_levels=False, max_num=1000)
    detector.rpn_head.train_proposals = config
    everything = detector.rpn_head.propose(out, batch)
    for i in range(2):
        boxes = inclusive(everything.boxes[i][everything.valid[i]])
        kept = release.nms(boxes, everything.scores[i][everything.valid[i]].numpy(), 0.3)[:50]
        np.testing.assert_array_equal(inclusive(across.boxes[i][across.valid[i]]), boxes[kept])
        assert not torch.equal(across.boxes[i], within.boxes[i][: len(across.boxes[i])])


def test_counts_below_one_mean_all(setting):
    detector, batch, _, out, _ = make_detector(), *setting[1:]
    everything = ProposalConfig(nms_pre=10_000, nms_post=10_000, max_num=200, nms_thr=0.7)
    detector.rpn_head.train_proposals = everything
    expected = detector.rpn_head.propose(out, batch)
    detector.rpn_head.train_proposals = replace(everything, nms_pre=-1, nms_post=-1)
    got = detector.rpn_head.propose(out, batch)
    torch.testing.assert_close(got.boxes, expected.boxes, rtol=0, atol=0)


def test_box_losses_equal_the_release(setting):
    detector, batch, features, out, _ = setting
    proposals = detector.rpn_head.propose(out, batch)
    cls = bbox = count = 0
    for i in range(2):
        boxes, labels = truths(batch, i)
        rois = inclusive(proposals.boxes[i][proposals.valid[i]])
        assigned = release.assign(rois, boxes, 0.5, 0.5, 0.5)
        rois = np.concatenate([boxes, rois])  # the truth is sampled too, matched to itself
        assigned = np.concatenate([np.arange(len(boxes)), assigned])
        continuous = torch.tensor(rois + np.array([0, 0, 1, 1]), dtype=torch.float32)
        rows = torch.cat([torch.full((len(rois), 1), float(i)), continuous], 1)
        with torch.no_grad():
            regions = detector.roi_head.bbox_roi_extractor(features, rows)
            logits, deltas = detector.roi_head.bbox_head(regions)
        log_probabilities = F.log_softmax(logits.double(), 1).numpy()
        for r, gt in enumerate(assigned):
            cls -= log_probabilities[r, labels[gt] if gt >= 0 else CLASSES]
            if gt >= 0:
                target = release.encode(rois[r], boxes[gt], STDS)
                bbox += release.smooth_l1(deltas[r, labels[gt]].double().numpy() - target, 1.0)
        count += len(rois)
    losses = detector.roi_head.loss(features, proposals, batch)
    assert losses['loss_cls'].item() == pytest.approx(cls / count, rel=1e-5)
    assert losses['loss_bbox'].item() == pytest.approx(bbox / count, rel=1e-5)


@pytest.mark.parametrize('max_per_img', [7, 100])
def test_detections_equal_the_release(setting, max_per_img):
    _, batch, features, out, _ = setting
    detector = make_detector(max_per_img=max_per_img).eval()
    proposals = detector.rpn_head.propose(out, batch)
    results = detector.predict(batch)
    for i, size in enumerate(SIZES):
        rois = inclusive(proposals.boxes[i][proposals.valid[i]])
        continuous = torch.tensor(rois + np.array([0, 0, 1, 1]), dtype=torch.float32)
        rows = torch.cat([torch.full((len(rois), 1), float(i)), continuous], 1)
        with torch.no_grad():
            logits, deltas = detector.roi_head.bbox_head(
                detector.roi_head.bbox_roi_extractor(features, rows)
            )
        scores = torch.softmax(logits.double(), 1).numpy()
        expected = []
        for k in range(CLASSES):
            rows = np.flatnonzero(scores[:, k] > 0.05)
            boxes = [release.decode(rois[r], deltas[r, k].double(), STDS, size) / 0.5 for r in rows]
            kept = release.nms(boxes, scores[rows, k], 0.5)
            expected += [(scores[rows[j], k], k, boxes[j]) for j in kept]
        expected = sorted(expected, key=lambda e: -e[0])[:max_per_img]
        assert len(expected) == min(max_per_img, len(expected)) > 0
        assert results[i].labels.tolist() == [e[1] for e in expected]
        np.testing.assert_allclose(results[i].scores, [e[0] for e in expected], rtol=1e-5)
        got = inclusive(results[i].boxes)
        np.testing.assert_allclose(got, np.array([e[2] for e in expected]), atol=2e-3)


def test_an_image_without_boxes_trains_and_gradients_are_finite():
    detector, batch = make_detector(num=64), make_batch()
    batch.truth.valid[:] = False
    losses = detector(batch)
    sum(losses.values()).backward()
    assert losses['loss_bbox'] == 0
    assert losses['loss_rpn_bbox'] == 0
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_padded_truth_rows_change_nothing():
    detector, batch = make_detector(), make_batch()
    torch.manual_seed(5)
    before = detector(batch)
    batch.truth.boxes[1, 2] = torch.tensor([10.0, 10, 50, 50])  # a row that is not valid
    torch.manual_seed(5)
    after = detector(batch)
    assert {k: v.item() for k, v in before.items()} == {k: v.item() for k, v in after.items()}


def test_no_detection_is_an_empty_result():
    detector = make_detector().eval()
    detector.roi_head.score_thr = 1.1
    results = detector(make_batch(), mode='predict')
    assert [tuple(r.boxes.shape) for r in results] == [(0, 4), (0, 4)]


def test_loss_names_and_unknown_mode():
    detector, batch = make_detector(num=64), make_batch()
    assert list(detector(batch)) == ['loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox']
    with pytest.raises(ValueError, match="'loss' or 'predict', not 'test'"):
        detector(batch, mode='test')


def test_ohem_trains_on_the_regions_with_the_largest_losses(setting):
    """A 1-in-4 hard subset must have a larger mean loss than all the regions."""
    _, batch, features, out, _ = setting
    detector = make_detector()
    proposals = detector.rpn_head.propose(out, batch)
    average = detector.roi_head.loss(features, proposals, batch)['loss_cls']
    detector.roi_head.region_sampler.sampler = OHEMSampler(13, 0.25)
    hardest = detector.roi_head.loss(features, proposals, batch)['loss_cls']
    assert hardest > 1.2 * average
