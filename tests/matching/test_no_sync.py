"""Targets, samples and losses of a training step never ask the device for a number."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

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
    add_truth,
)
from hrdet.structures import GroundTruth, Proposals

DATA_DEPENDENT = ('nonzero', '_local_scalar_dense', 'masked_select', 'unique', 'bincount', 'equal')


class NoSync(TorchDispatchMode):
    """Raises on operations whose result's shape, or whose Python value, depends on data."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert not name.startswith(DATA_DEPENDENT), f'{name} waits for the device'
        if name.startswith(('index', 'index_put')) and len(args) > 1:
            indices = args[1] if isinstance(args[1], list | tuple) else ()
            for index in indices:
                assert index is None or index.dtype not in (torch.bool, torch.uint8), (
                    'an index by a mask waits for the device'
                )
        assert name != 'repeat_interleave' or function._overloadname != 'Tensor'
        return function(*args, **(kwargs or {}))


def batch_truth():
    boxes = torch.tensor([[[4.0, 4, 40, 30], [20, 20, 28, 30]], [[8, 8, 30, 60], [0, 0, 0, 0]]])
    ignored = torch.tensor([[[0.0, 0, 64, 8]], [[0, 0, 0, 0]]])
    return GroundTruth(
        boxes,
        torch.tensor([[0, 2], [1, 0]]),
        ignored,
        valid=torch.tensor([[True, True], [True, False]]),
        ignored_valid=torch.tensor([[True], [False]]),
    )


SAMPLERS = [
    RandomSampler(32, 0.5, neg_pos_ub=3),
    InstanceBalancedPosSampler(32, 0.5),
    IoUBalancedNegSampler(32, 0.5, floor_thr=0.1, floor_fraction=0.5),
    CombinedSampler(32, 0.5, InstanceBalancedPosSampler(32, 0.5), RandomSampler(32, 0.5)),
    OHEMSampler(32, 0.5),
    PseudoSampler(),
]


@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize('all_best', [True, False])
def test_a_training_step(sampler, all_best):
    truth, sizes = batch_truth(), torch.tensor([[60.0, 64.0], [64, 50]])
    generator = AnchorGenerator([8, 16], [2], [0.5, 1, 2], convention='inclusive')
    coder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    assigner = MaxIoUAssigner(0.7, 0.3, 0.3, gt_max_assign_all=all_best, ignore_iof_thr=0.5)
    feature_sizes = [(8, 8), (4, 4)]
    deltas = torch.zeros(2, 240, 4, requires_grad=True)
    logits = torch.zeros(2, 240, 4, requires_grad=True)
    with NoSync():
        anchors = torch.cat(generator.grid(feature_sizes))
        inside = generator.inside(anchors, feature_sizes, sizes, sizes, 0)
        boxes = clip_boxes(coder.decode(anchors, deltas), sizes[:, None], 'inclusive').detach()
        proposals = Proposals(boxes, torch.zeros(2, 240), inside)
        assignment = assigner(anchors, inside, truth)
        proposals, with_truth = add_truth(proposals, assignment, truth)
        assert with_truth.gt_index.shape == (2, 242)
        if sampler.needs_losses:
            samples = sampler.sample(assignment, torch.rand(2, 240))
        else:
            samples = sampler.sample(assignment)

        def rows(values, index):
            return values.gather(1, index[..., None].expand(-1, -1, 4))

        labels = truth.labels.gather(1, samples.gt_index)
        labels = torch.where(samples.positive, labels, 3).flatten()
        targets = coder.encode(anchors[samples.index], rows(truth.boxes, samples.gt_index))
        weight, count = samples.valid.flatten().float(), samples.valid.sum().clamp(min=1)
        chosen, scores = rows(deltas, samples.index), rows(logits, samples.index).flatten(0, 1)
        total = CrossEntropyLoss()(scores, labels, weight, count)
        total = total + CrossEntropyLoss(use_sigmoid=True)(scores, labels, weight[:, None], count)
        total = total + FocalLoss()(scores, labels, weight[:, None], count)
        positive = samples.positive[..., None].float()
        for loss in (SmoothL1Loss(), L1Loss()):
            total = total + loss(chosen, torch.where(samples.positive[..., None], targets, 0),
                                 positive, count)  # fmt: skip
        decoded = coder.decode(anchors[samples.index], chosen)
        total = total + IoULoss()(
            decoded, rows(truth.boxes, samples.gt_index), samples.positive.float(), count
        )
        total.backward()
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
