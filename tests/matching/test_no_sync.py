"""Targets, samples and losses of a training step never ask the device for a number."""

import pytest
import torch

from hrdet.boxes import AnchorGenerator, DeltaCoder, clip_boxes
from hrdet.losses import CrossEntropyLoss, FocalLoss, IoULoss, L1Loss, SmoothL1Loss
from hrdet.matching import (
    CombinedSampler,
    InstanceBalancedPosSampler,
    IoUBalancedNegSampler,
    MaxIoUAssigner,
    OHEMSampler,
    PseudoSampler,
    RandomSampler,
)
from hrdet.models.roi.sampling import add_gt_as_proposals
from hrdet.structures import GroundTruth, Proposals
from tests.no_sync import NoSync


def batch_truth(device):
    boxes = torch.tensor([[[4.0, 4, 40, 30], [20, 20, 28, 30]], [[8, 8, 30, 60], [0, 0, 0, 0]]])
    ignored = torch.tensor([[[0.0, 0, 64, 8]], [[0, 0, 0, 0]]])
    return GroundTruth(
        boxes.to(device),
        torch.tensor([[0, 2], [1, 0]], device=device),
        ignored.to(device),
        valid=torch.tensor([[True, True], [True, False]], device=device),
        ignored_valid=torch.tensor([[True], [False]], device=device),
    )


SAMPLERS = [
    RandomSampler(32, 0.5, neg_pos_ub=3),
    InstanceBalancedPosSampler(32, 0.5),
    IoUBalancedNegSampler(32, 0.5, floor_thr=0.1, floor_fraction=0.5),
    CombinedSampler(32, 0.5, InstanceBalancedPosSampler(32, 0.5), RandomSampler(32, 0.5)),
    OHEMSampler(32, 0.5),
    PseudoSampler(),
]


def rows(values, index):
    return values.gather(1, index[..., None].expand(-1, -1, 4))


def training_step(sampler, all_best, truth, sizes, deltas, logits):
    """Anchors to gradients; the total loss and the samples."""
    generator = AnchorGenerator([8, 16], [2], [0.5, 1, 2], convention='inclusive')
    generator, coder = (
        generator.to(deltas.device),
        DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2)).to(deltas.device),
    )
    assigner = MaxIoUAssigner(0.7, 0.3, 0.3, gt_max_assign_all=all_best, ignore_iof_thr=0.5)
    feature_sizes = [(8, 8), (4, 4)]
    anchors = torch.cat(generator.grid(feature_sizes))
    inside = generator.inside(anchors, feature_sizes, sizes, sizes, 0)
    boxes = clip_boxes(coder.decode(anchors, deltas), sizes[:, None], 'inclusive').detach()
    proposals = Proposals(boxes, torch.zeros_like(boxes[..., 0]), inside)
    assignment = assigner(boxes, inside, truth)
    proposals, assignment = add_gt_as_proposals(proposals, assignment, truth)
    hardness = (torch.rand_like(assignment.max_iou),) if sampler.needs_losses else ()
    samples = sampler.sample(assignment, *hardness)

    labels = truth.labels.gather(1, samples.gt_index)
    labels = torch.where(samples.positive, labels, 3).flatten()
    chosen_boxes, objects = (
        rows(proposals.boxes, samples.index),
        rows(truth.boxes, samples.gt_index),
    )
    weight, count = samples.valid.flatten().float(), samples.valid.sum().clamp(min=1)
    anchor = samples.index.clamp(max=deltas.shape[1] - 1)
    chosen, scores = rows(deltas, anchor), rows(logits, anchor).flatten(0, 1)
    total = CrossEntropyLoss()(scores, labels, weight, count)
    for loss in (CrossEntropyLoss(use_sigmoid=True), FocalLoss()):
        total = total + loss(scores, labels, weight[:, None], count)
    positive = samples.positive[..., None]
    targets = torch.where(positive, coder.encode(chosen_boxes, objects), 0)
    for loss in (SmoothL1Loss(), L1Loss()):
        total = total + loss(chosen, targets, positive.float(), count)
    decoded = coder.decode(chosen_boxes, chosen)
    total = total + IoULoss()(decoded, objects, samples.positive.float(), count)
    total.backward()
    return total, samples


@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize('all_best', [True, False])
@pytest.mark.parametrize(
    'device',
    [
        'cpu',
        pytest.param(
            'cuda',
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
            ],
        ),
    ],
)
def test_a_training_step(sampler, all_best, device):
    truth, sizes = batch_truth(device), torch.tensor([[60.0, 64.0], [64, 50]], device=device)
    deltas = torch.zeros(2, 240, 4, device=device, requires_grad=True)
    logits = torch.zeros(2, 240, 4, device=device, requires_grad=True)
    if device == 'cuda':
        torch.cuda.set_sync_debug_mode('error')
    try:
        with NoSync():
            total, samples = training_step(sampler, all_best, truth, sizes, deltas, logits)
    finally:
        if device == 'cuda':
            torch.cuda.set_sync_debug_mode('default')
    assert total.isfinite()
    assert deltas.grad.isfinite().all()
    assert deltas.grad.abs().sum() > 0
    assert samples.positive.any()


@pytest.mark.parametrize(
    'operation',
    [
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.masked_select(x > 0),
        lambda x: x.__setitem__(x > 0, torch.zeros(3)),
    ],
)
def test_the_test_notices(operation):
    with NoSync(), pytest.raises(AssertionError, match='waits'):
        operation(torch.ones(3))
