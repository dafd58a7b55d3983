"""Which regions of a batch a stage trains on, and what each should become.

N images, P proposals, S samples an image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet.matching import add_gt_as_proposals
from hrdet.registry import register
from hrdet.structures import GroundTruth, Proposals

Hardness = Callable[[Proposals, Tensor], Tensor]


@dataclass(slots=True)
class Regions:
    """Sampled boxes (N, S) with their targets: positives first, then negatives, then padding."""

    boxes: Tensor  # (N, S, 4)
    labels: Tensor  # (N, S): class, background = K
    gt_boxes: Tensor  # (N, S, 4) of the object; meaningful for positives
    gt_index: Tensor  # (N, S) row of the object
    weight: Tensor  # (N, S) in the classification loss; 0 where a row holds no region
    positive: Tensor  # (N, S) bool
    is_truth: Tensor  # (N, S) bool: the box is an object's own, added to the proposals

    def positives(self, most: int | None) -> 'Regions':
        """The first ``most`` rows, which hold all positives of a sampler with that bound."""
        return Regions(*(getattr(self, name)[:, :most] for name in self.__slots__))


@register()
class RegionSampler:
    """Assign proposals to objects and draw some of both kinds.

    Args:
        assigner: which proposal belongs to which object.
        sampler: how many are drawn, and how.
        pos_weight: weight of a positive in the classification loss; 1 if not above 0.
    """

    def __init__(self, assigner, sampler, pos_weight: float = -1) -> None:
        self.assigner, self.sampler = assigner, sampler
        self.pos_weight = pos_weight if pos_weight > 0 else 1.0

    @property
    def most_positives(self) -> int | None:
        """Positives are found in this many first rows; None: anywhere."""
        return getattr(self.sampler, 'num_positive', None)

    @torch.no_grad()
    def __call__(
        self, proposals: Proposals, truth: GroundTruth, num_classes: int, hardness: Hardness
    ) -> Regions:
        """Sample a batch; ``hardness(proposals, labels)`` (N, P) is for samplers that need it."""
        assignment = self.assigner(proposals.boxes, proposals.valid, truth)
        added = 0
        if self.sampler.add_gt_as_proposals:
            added = truth.valid.shape[1]
            proposals, assignment = add_gt_as_proposals(proposals, assignment, truth)
        labels = truth.labels.gather(1, assignment.gt_index.clamp(min=0))
        labels = torch.where(assignment.gt_index >= 0, labels, num_classes)
        if self.sampler.needs_losses:
            samples = self.sampler.sample(assignment, hardness(proposals, labels))
        else:
            samples = self.sampler.sample(assignment)
        return Regions(
            boxes=proposals.boxes.take_along_dim(samples.index[..., None], 1),
            labels=labels.gather(1, samples.index),
            gt_boxes=truth.boxes.take_along_dim(samples.gt_index[..., None], 1),
            gt_index=samples.gt_index,
            weight=torch.where(samples.positive, self.pos_weight, 1.0) * samples.valid,
            positive=samples.positive,
            is_truth=samples.valid & (samples.index < added),
        )
