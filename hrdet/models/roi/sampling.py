"""Sampling of proposals to train the second stage on, each with its target.

N images, P proposals and S samples of each; K classes, background = K.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hrdet.matching.assigner import IGNORED, Assignment
from hrdet.models.roi.extractor import batch_rois
from hrdet.ranges import Number
from hrdet.registry import register
from hrdet.structures import GroundTruth, Proposals


@dataclass(slots=True)
class SamplingResult:
    """Sampled boxes (N, S) with their targets: positives first, then negatives, then padding."""

    boxes: Tensor  # (N, S, 4)
    labels: Tensor  # (N, S): class, background = K
    gt_boxes: Tensor  # (N, S, 4) of the object; meaningful for positives
    gt_index: Tensor  # (N, S) row of the object
    weight: Tensor  # (N, S) in the classification loss; 0 in rows of padding
    positive: Tensor  # (N, S) bool
    is_gt: Tensor  # (N, S) bool: the box is an object's own, added to the proposals

    @property
    def rois(self) -> Tensor:
        """(N * S, 5) image and box."""
        return batch_rois(self.boxes, self.weight > 0)

    def positives(self, most: int | None) -> 'SamplingResult':
        """The first ``most`` rows, which hold all positives of a sampler with that bound."""
        return SamplingResult(*(getattr(self, name)[:, :most] for name in self.__slots__))


@register('RoISampler', 'RegionSampler')
class RoISampler:
    """Assign proposals to objects and sample positives and negatives.

    Args:
        assigner: which proposal belongs to which object.
        sampler: how many are sampled, and how.
        pos_weight: weight of a positive in the classification loss; 1 if not above 0.
    """

    def __init__(self, assigner, sampler, pos_weight: Number = -1) -> None:
        self.assigner, self.sampler = assigner, sampler
        self.pos_weight = pos_weight if pos_weight > 0 else 1.0

    @property
    def most_positives(self) -> int | None:
        """All positives lie in this many first rows; None: anywhere."""
        return getattr(self.sampler, 'num_positive', None)

    @torch.no_grad()
    def __call__(
        self, proposals: Proposals, truth: GroundTruth, features: Any, extractor, head
    ) -> SamplingResult:
        """Sample S proposals of each image for ``head`` to train on.

        ``features``, ``extractor`` and ``head`` give the classification losses of all proposals to
        samplers that need them (online hard example mining).
        """
        # 1. Assign proposals to objects; add the objects themselves where the sampler is set so.
        assignment = self.assigner(proposals.boxes, proposals.valid, truth)
        num_added = 0
        if self.sampler.add_gt_as_proposals:
            num_added = truth.valid.shape[1]
            proposals, assignment = add_gt_as_proposals(proposals, assignment, truth)
        labels = truth.labels.gather(1, assignment.gt_index.clamp(min=0))
        labels = torch.where(assignment.gt_index >= 0, labels, head.num_classes)  # (N, P)
        # 2. Choose S of each image.
        losses = ()
        if self.sampler.needs_losses:
            rois = batch_rois(proposals.boxes, proposals.valid)
            logits, _ = head(extractor(features, rois))  # (N * P, K + 1)
            losses = (head.loss_cls.elements(logits, labels.flatten()).view_as(labels),)
        samples = self.sampler.sample(assignment, *losses)
        # 3. Gather their boxes and targets.
        index, gt_index = samples.index[..., None], samples.gt_index[..., None]  # (N, S, 1)
        return SamplingResult(
            boxes=proposals.boxes.take_along_dim(index, 1),
            labels=labels.gather(1, samples.index),
            gt_boxes=truth.boxes.take_along_dim(gt_index, 1),
            gt_index=samples.gt_index,
            weight=torch.where(samples.positive, self.pos_weight, 1.0) * samples.valid,
            positive=samples.positive,
            is_gt=samples.valid & (samples.index < num_added),
        )


def add_gt_as_proposals(
    proposals: Proposals, assignment: Assignment, truth: GroundTruth
) -> tuple[Proposals, Assignment]:
    """Put the objects in front of the proposals (N, P), each assigned to itself.

    So the box head has positives to train on even while the RPN proposes nothing useful.
    Padded objects become invalid rows, which are ignored.
    """
    # Row g of the added boxes (N, G) is object g, with score 1 and IoU 1.
    rows = torch.arange(truth.valid.shape[1], device=truth.valid.device)
    gt_index = torch.where(truth.valid, rows, IGNORED)
    score = truth.valid.to(proposals.scores.dtype)
    iou = torch.where(truth.valid, 1.0, -1.0)
    return (
        Proposals(
            torch.cat([truth.boxes, proposals.boxes], 1),
            torch.cat([score, proposals.scores], 1),
            torch.cat([truth.valid, proposals.valid], 1),
        ),
        Assignment(
            torch.cat([gt_index, assignment.gt_index], 1),
            torch.cat([iou, assignment.max_iou], 1),
        ),
    )
