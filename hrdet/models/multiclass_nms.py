"""The last step of a detector: scores of all classes to the objects of an image.

N images, P boxes, K classes, D detections.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet import ops
from hrdet.registry import register
from hrdet.structures import Detections


@register('nms')
@dataclass(frozen=True, slots=True)
class NMS:
    """Drop a box that overlaps a better one of its class by more than ``iou_thr``."""

    iou_thr: float

    def __call__(self, boxes: Tensor, scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """Problems (B, M, 4), (B, M) to indices (B, limit) and scores, -inf where none is left."""
        index, kept = ops.nms(boxes, scores, self.iou_thr, limit)
        return index, scores.gather(1, index).masked_fill(~kept, -torch.inf)


@register('soft_nms')
@dataclass(frozen=True, slots=True)
class SoftNMS:
    """Lower the score of a box by its overlap with better ones (Bodla et al. 2017)."""

    iou_thr: float
    min_score: float = 0.001
    method: str = 'linear'
    sigma: float = 0.5

    def __call__(self, boxes: Tensor, scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """As ``NMS.__call__``, with the lowered scores."""
        index, scores, kept = ops.soft_nms(
            boxes, scores, self.iou_thr, self.min_score, self.method, self.sigma, limit
        )
        return index, scores.masked_fill(~kept, -torch.inf)


def multiclass_nms(
    boxes: Tensor, scores: Tensor, score_thr: float, nms: NMS | SoftNMS, max_per_img: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Suppress duplicates within each class and keep the best of each image.

    Args:
        boxes: (N, P, K or 1, 4).
        scores: (N, P, K), -inf in rows that hold no box.
        score_thr: only scores above it count.
        nms: what suppresses duplicates.
        max_per_img: D; below 0 all survivors, and D is how many the fullest image has.

    Returns:
        Boxes (N, D, 4), scores (N, D), labels (N, D) and how many rows of each image are real (N,);
        best first.
    """
    n, p, k = scores.shape
    scores = scores.masked_fill(scores <= score_thr, -torch.inf).transpose(1, 2).reshape(n * k, p)
    boxes = boxes.expand(n, p, k, 4).transpose(1, 2).reshape(n * k, p, 4)
    # No class can place more boxes in an image's best D than D.
    limit = p if max_per_img < 0 else min(p, max_per_img)
    index, scores = nms(boxes, scores, limit)
    boxes = boxes.take_along_dim(index[..., None], 1).reshape(n, k * limit, 4)
    scores, order = scores.reshape(n, k * limit).sort(dim=1, descending=True, stable=True)
    counts = (scores > -torch.inf).sum(1)
    most = max_per_img if max_per_img >= 0 else int(counts.max())
    scores, order, counts = scores[:, :most], order[:, :most], counts.clamp(max=most)
    boxes = boxes.take_along_dim(order[..., None], 1)
    return boxes, scores, order // max(limit, 1), counts


def split_detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, counts: Tensor
) -> list[Detections]:
    """Padded results of a batch, as of ``multiclass_nms``, on the host: one item an image."""
    boxes, scores, labels = boxes.cpu(), scores.cpu(), labels.cpu()
    return [
        Detections(boxes[i, :count], scores[i, :count], labels[i, :count])
        for i, count in enumerate(counts.tolist())
    ]
