"""Samplers choose the boxes to train on: a fixed number, drawn by random keys and ``topk``.

N images, A boxes and S samples of each.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.matching.assigner import IGNORED, NEGATIVE, Assignment
from hrdet.ranges import Count, Number, Share, UpToOne
from hrdet.registry import register


@dataclass(slots=True)
class Samples:
    """The chosen boxes (N, S): positives first, then negatives, then rows without a box."""

    index: Tensor  # int64: which box
    positive: Tensor  # bool: it has an object
    valid: Tensor  # bool: the row holds a box
    gt_index: Tensor  # int64: the row of its object; 0 for a negative


@register()
class RandomSampler:
    """Positives and negatives at random (Girshick, Fast R-CNN, 2015, section 2.3).

    Samplers differ in the keys by which they rank candidates; the highest keys are taken.

    Args:
        num: S.
        pos_fraction: at most ``int(num * pos_fraction)`` are positives; negatives fill up the rest.
        neg_pos_ub: at most this many negatives for each positive (for one if there is none); below
            0 there is no bound.
        add_gt_as_proposals: whether the caller adds the objects to the proposals before sampling.
    """

    needs_losses = False

    def __init__(
        self,
        num: Count,
        pos_fraction: Share,
        neg_pos_ub: Number = -1,
        add_gt_as_proposals: bool = True,
    ) -> None:
        self.num, self.num_positive = num, int(num * pos_fraction)
        self.neg_pos_ub = neg_pos_ub
        self.add_gt_as_proposals = add_gt_as_proposals

    def sample(self, assignment: Assignment) -> Samples:
        """Draw from a batch with torch's global random generator of the device."""
        return self.choose(assignment, torch.rand_like(assignment.max_iou))

    def choose(self, assignment: Assignment, keys: Tensor) -> Samples:
        """The positives and the negatives with the highest keys (N, A), as many as fit."""
        gt_index = assignment.gt_index
        # 1. The positives, at most num_positive, and how many there are in each image (N, 1).
        pos_keys = self.positive_keys(assignment, keys, self.num_positive)
        positives, drawn = _highest(pos_keys, gt_index >= 0, self.num_positive)
        num_positive = drawn.sum(1, keepdim=True)
        # 2. Negatives fill up the rest, bounded by a multiple of the positives.
        num_negative = self.num - num_positive
        if self.neg_pos_ub >= 0:
            bound = (self.neg_pos_ub * num_positive.clamp(min=1)).long()
            num_negative = num_negative.minimum(bound)
        neg_keys = self.negative_keys(assignment, keys, num_negative)
        negatives, drawn = _highest(neg_keys, gt_index == NEGATIVE, self.num)
        num_negative = num_negative.minimum(drawn.sum(1, keepdim=True))

        # 3. One row of S slots an image: positives, then negatives, which begin where the positives
        #    of the image end, then empty slots.
        slot = torch.arange(self.num, device=keys.device)
        positive, valid = slot < num_positive, slot < num_positive + num_negative
        slot = torch.where(positive, slot, self.num_positive + slot - num_positive)
        index = torch.cat([positives, negatives], 1).gather(1, slot)  # (N, S) into A
        index = torch.where(valid, index, 0)
        objects = torch.where(positive, _gather(gt_index, index), 0)
        return Samples(index, positive, valid, objects)

    def positive_keys(self, assignment: Assignment, keys: Tensor, count: int) -> Tensor:
        """Keys by which ``count`` positives are chosen (N, A)."""
        return keys

    def negative_keys(self, assignment: Assignment, keys: Tensor, count: Tensor) -> Tensor:
        """Keys by which ``count`` (N, 1) negatives are chosen (N, A)."""
        return keys


@register()
class InstanceBalancedPosSampler(RandomSampler):
    """About equally many positives for every object (Pang et al., Libra R-CNN, 2019)."""

    def positive_keys(self, assignment: Assignment, keys: Tensor, count: int) -> Tensor:
        # Ranked by keys of their own: the first of a large group would have high keys.
        rank = _rank_in_group(assignment.gt_index, torch.rand_like(keys))
        positive = assignment.gt_index >= 0
        objects = ((rank == 0) & positive).sum(1, keepdim=True).clamp(min=1)
        # Keys lie in [0, 1): with 1 added, ``share`` boxes of every object rank before all others.
        share = (count / objects).round() + 1
        return keys + (rank < share)


@register()
class IoUBalancedNegSampler(RandomSampler):
    """Negatives evenly over bins of overlap (Pang et al., Libra R-CNN, 2019, section 3.1).

    Args:
        num, pos_fraction, neg_pos_ub, add_gt_as_proposals: as in ``RandomSampler``.
        floor_thr: ``floor_fraction`` of the samples come from the floor, the negatives below this
            overlap; 0: the negatives without overlap; below 0: there is no floor.
        floor_fraction: of the negatives wanted.
        num_bins: of equal width between ``floor_thr`` and the image's largest overlap.
    """

    def __init__(
        self,
        num: Count,
        pos_fraction: Share,
        neg_pos_ub: Number = -1,
        add_gt_as_proposals: bool = True,
        floor_thr: UpToOne = -1,
        floor_fraction: Share = 0,
        num_bins: Count = 3,
    ) -> None:
        super().__init__(num, pos_fraction, neg_pos_ub, add_gt_as_proposals)
        self.floor_thr, self.floor_fraction, self.num_bins = floor_thr, floor_fraction, num_bins

    def negative_keys(self, assignment: Assignment, keys: Tensor, count: Tensor) -> Tensor:
        negative, iou = assignment.gt_index == NEGATIVE, assignment.max_iou
        # 1. Negatives of the floor, and above it.
        floor = negative & ((iou < self.floor_thr) | ((iou == 0) & (self.floor_thr == 0)))
        above = negative & ~floor
        # 2. Above the floor every bin of overlaps gets an equal share of the wanted number,
        #    computed in float64 like Python's own numbers: one more or less decides a sample.
        wanted = (count.double() * (1 - self.floor_fraction)).long()
        preferred = keys
        if self.num_bins > 1:
            bins = torch.where(above, self._bins(iou), self.num_bins)
            rank = _rank_in_group(bins, torch.rand_like(keys))
            preferred = keys + ((bins < self.num_bins) & (rank < wanted // self.num_bins))
        chosen = above & (_rank_in_group(above.long(), preferred) < wanted)
        # 3. First the preferred ones above the floor, then the floor, then all others.
        return keys + 2 * chosen + floor

    def _bins(self, iou: Tensor) -> Tensor:
        """The bin (N, A) of each overlap; ``num_bins`` for the largest, which ends the last one."""
        start = max(self.floor_thr, 0)
        width = (iou.amax(1, keepdim=True) - start) / self.num_bins
        # ``tiny``: where no box overlaps an object, every bin has width 0.
        position = (iou - start) / width.clamp(min=torch.finfo(iou.dtype).tiny)
        return position.floor().clamp(0, self.num_bins).long()


@register()
class CombinedSampler(RandomSampler):
    """Positives ranked by one sampler, negatives by another; ``num`` and others are its own."""

    def __init__(
        self,
        num: Count,
        pos_fraction: Share,
        pos_sampler: RandomSampler,
        neg_sampler: RandomSampler,
        neg_pos_ub: Number = -1,
        add_gt_as_proposals: bool = True,
    ) -> None:
        super().__init__(num, pos_fraction, neg_pos_ub, add_gt_as_proposals)
        self.pos_sampler, self.neg_sampler = pos_sampler, neg_sampler

    def positive_keys(self, assignment: Assignment, keys: Tensor, count: int) -> Tensor:
        return self.pos_sampler.positive_keys(assignment, keys, count)

    def negative_keys(self, assignment: Assignment, keys: Tensor, count: Tensor) -> Tensor:
        return self.neg_sampler.negative_keys(assignment, keys, count)


@register()
class OHEMSampler(RandomSampler):
    """The boxes with the highest losses (Shrivastava et al., Online Hard Example Mining, 2016)."""

    needs_losses = True

    def sample(self, assignment: Assignment, losses: Tensor) -> Samples:
        """Choose by the classification losses (N, A) of all boxes of a batch, highest first."""
        return self.choose(assignment, losses)


@register()
class PseudoSampler:
    """All boxes that are positive or negative, in their order."""

    needs_losses = False
    add_gt_as_proposals = False

    def sample(self, assignment: Assignment) -> Samples:
        """The whole assignment as samples: S = A."""
        gt_index = assignment.gt_index
        index = torch.arange(gt_index.shape[1], device=gt_index.device).expand_as(gt_index)
        valid = gt_index > IGNORED
        return Samples(index, gt_index >= 0, valid, gt_index.clamp(min=0))


def _highest(keys: Tensor, mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices (N, count) of the highest keys (N, A) under ``mask``, and which rows hold one."""
    # topk takes at most A rows; rows beyond hold no box.
    missing = max(0, count - keys.shape[1])
    keys, index = keys.masked_fill(~mask, -torch.inf).topk(count - missing, dim=1)
    return F.pad(index, (0, missing)), F.pad(keys > -torch.inf, (0, missing))


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """``values.gather(1, index)``; 0 where there are no values at all."""
    return F.pad(values, (0, int(values.shape[1] == 0))).gather(1, index)


def _rank_in_group(groups: Tensor, keys: Tensor) -> Tensor:
    """How many elements of the same group (N, A) have a higher key: (N, A) int64."""
    # 1. Sort by group, within a group by falling key.
    order = keys.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, groups.gather(1, order).argsort(dim=1, stable=True))
    sorted_groups = groups.gather(1, order)
    # 2. A rank is the place minus the place where its group begins, scattered back.
    place = torch.arange(groups.shape[1], device=groups.device).expand_as(groups)
    begins = F.pad(sorted_groups[:, 1:] != sorted_groups[:, :-1], (1, 0), value=False)
    start = torch.where(begins, place, 0).cummax(1).values
    return torch.empty_like(order).scatter_(1, order, place - start)
