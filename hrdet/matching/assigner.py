"""Objects for boxes by overlap (Ren et al., Faster R-CNN, 2015, section 3.1.2).

N images, A boxes of each (anchors or proposals), G objects of the fullest image, I crowd regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.boxes import pairwise_iof
from hrdet.matching.overlaps import Overlaps, piece_slices
from hrdet.registry import register
from hrdet.structures import GroundTruth, Proposals

NEGATIVE, IGNORED = -1, -2


@dataclass(slots=True)
class Assignment:
    """What each box of a batch is to learn."""

    gt_index: Tensor  # (N, A) int64: the row of its object, -1 background, -2 nothing
    max_iou: Tensor  # (N, A): best overlap with any object; -1 for boxes that take no part


@register()
class MaxIoUAssigner:
    """Positive above one overlap, negative below another, and the best boxes of every object.

    A box takes the object it overlaps most.  Then every object takes the boxes that overlap it
    most, whatever else they overlap; where several objects claim a box the last one gets it.  With
    ``min_pos_iou`` 0 an object that no box touches thereby takes every box that touches none of its
    kind, as in the releases.  In an image without objects every box is negative.

    Args:
        pos_iou_thr: positive from this overlap on.
        neg_iou_thr: negative below this overlap, or in ``[low, high)``; between the two nothing.
        min_pos_iou: an object takes its best boxes only if they overlap it at least this much.
        gt_max_assign_all: it takes all that share the largest overlap, not the first of them only.
        ignore_iof_thr: boxes that lie in a crowd region to a larger part take no part; off if not
            above 0.
        ignore_wrt_candidates: the part is one of the box; otherwise one of the crowd region.
        match_low_quality: False leaves out the second step.
    """

    def __init__(
        self,
        pos_iou_thr: float,
        neg_iou_thr: float | Sequence[float],
        min_pos_iou: float = 0.0,
        gt_max_assign_all: bool = True,
        ignore_iof_thr: float = -1,
        ignore_wrt_candidates: bool = True,
        match_low_quality: bool = True,
    ) -> None:
        if not 0 < pos_iou_thr <= 1:
            raise ValueError(f'pos_iou_thr must be in (0, 1], not {pos_iou_thr}')
        self.pos_iou_thr = pos_iou_thr
        self.neg_iou_range = (
            (0.0, neg_iou_thr) if isinstance(neg_iou_thr, int | float) else tuple(neg_iou_thr)
        )
        if len(self.neg_iou_range) != 2:
            raise ValueError(f'neg_iou_thr must be a number or (low, high), not {neg_iou_thr}')
        self.min_pos_iou = min_pos_iou
        self.gt_max_assign_all = gt_max_assign_all
        self.ignore_iof_thr = ignore_iof_thr
        self.ignore_wrt_candidates = ignore_wrt_candidates
        self.match_low_quality = match_low_quality

    @torch.no_grad()
    def __call__(self, boxes: Tensor, boxes_valid: Tensor | None, truth: GroundTruth) -> Assignment:
        """Assign boxes (N, A, 4), or (A, 4) shared by all images, to the objects of a batch.

        Boxes outside ``boxes_valid`` (N, A) get -2 and, like padded objects, influence nothing.
        """
        objects = torch.where(truth.valid[..., None], truth.boxes, 0)
        if objects.shape[1] == 0:
            objects = F.pad(objects, (0, 0, 0, 1))
        taking_part = self._taking_part(boxes, boxes_valid, truth)
        if boxes.shape[-2] == 0:
            return Assignment(taking_part.long(), taking_part.to(boxes.dtype))
        matrix = Overlaps(objects, boxes, taking_part)
        max_iou, row, object_max, object_best = matrix.maxima()

        low, high = self.neg_iou_range
        no_objects = ~truth.valid.any(1, keepdim=True)
        negative = (max_iou >= low) & (max_iou < high) | no_objects
        gt_index = torch.where(negative, NEGATIVE, IGNORED)
        gt_index = torch.where(max_iou >= self.pos_iou_thr, row, gt_index)
        if self.match_low_quality and truth.valid.shape[1] > 0:
            claims = truth.valid & (object_max >= self.min_pos_iou)
            if self.gt_max_assign_all:
                claimed = matrix.last_equal(torch.where(claims, object_max, torch.inf))
            else:
                rows = torch.arange(claims.shape[1], device=row.device)
                claimed = torch.full_like(row, NEGATIVE).scatter_reduce(
                    1, object_best, torch.where(claims, rows, NEGATIVE), 'amax'
                )
            gt_index = torch.where(claimed >= 0, claimed, gt_index)
        return Assignment(torch.where(taking_part, gt_index, IGNORED), max_iou)

    def _taking_part(self, boxes: Tensor, boxes_valid: Tensor | None, truth: GroundTruth) -> Tensor:
        """(N, A) bool: valid boxes that do not belong to a crowd."""
        shape = (truth.valid.shape[0], boxes.shape[-2])
        if boxes_valid is None:
            boxes_valid = torch.ones(shape, dtype=torch.bool, device=boxes.device)
        if self.ignore_iof_thr <= 0 or truth.ignored.shape[1] == 0:
            return boxes_valid
        crowds = torch.where(truth.ignored_valid[..., None], truth.ignored, 0)
        covered = []
        for part in piece_slices(boxes, crowds):
            piece = boxes[..., part, :]
            if self.ignore_wrt_candidates:
                covered.append(pairwise_iof(piece, crowds).amax(-1))
            else:
                covered.append(pairwise_iof(crowds, piece).amax(-2))
        return boxes_valid & (torch.cat(covered, 1) <= self.ignore_iof_thr)


def add_truth(
    proposals: Proposals, assignment: Assignment, truth: GroundTruth
) -> tuple[Proposals, Assignment]:
    """Put the objects themselves in front of the proposals (N, P), each assigned to itself.

    The detector of a young model then always has positives to learn from.  Padded objects become
    invalid rows that take no part.
    """
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
