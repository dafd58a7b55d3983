"""Class-wise NMS, the last step of a detector: from boxes and scores to detections.

N images, P boxes, K classes, D detections.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hrdet import ops
from hrdet.ranges import Positive, Share
from hrdet.registry import register
from hrdet.structures import Detections


@register('nms')
@dataclass(frozen=True, slots=True)
class NMS:
    """Drop a box that overlaps one of its class with a higher score by more than ``iou_thr``."""

    iou_thr: Share

    def __call__(self, boxes: Tensor, scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """Boxes (B, M, 4), scores (B, M) to indices (B, limit), scores: -inf where none is left."""
        index, valid = ops.nms(boxes, scores, self.iou_thr, limit)
        return index, scores.gather(1, index).masked_fill(~valid, -torch.inf)


@register('soft_nms')
@dataclass(frozen=True, slots=True)
class SoftNMS:
    """Lower a box's score by its overlap with higher-scoring ones (Bodla et al. 2017)."""

    iou_thr: Share
    min_score: Share = 0.001
    method: Literal['linear', 'gaussian'] = 'linear'
    sigma: Positive = 0.5

    def __call__(self, boxes: Tensor, scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """As ``NMS.__call__``, with the lowered scores."""
        index, scores, valid = ops.soft_nms(
            boxes, scores, self.iou_thr, self.min_score, self.method, self.sigma, limit
        )
        return index, scores.masked_fill(~valid, -torch.inf)


def multiclass_nms(
    boxes: Tensor, scores: Tensor, score_thr: float, nms: NMS | SoftNMS, max_per_img: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Suppress duplicates within each class and keep the best of each image.

    Args:
        boxes: (N, P, K or 1, 4).
        scores: (N, P, K), -inf in rows of padding.
        score_thr: only scores above it count.
        nms: suppresses duplicates.
        max_per_img: D; below 0 all boxes that are left, and D is the largest number of an image.

    Returns:
        Boxes (N, D, 4), scores (N, D), labels (N, D) and the number of valid rows of each image
        (N,); best first.
    """
    # 1. Each class of each image is a set of its own: (N * K, P).
    n, p, k = scores.shape
    scores = scores.masked_fill(scores <= score_thr, -torch.inf).transpose(1, 2).reshape(n * k, p)
    boxes = boxes.expand(n, p, k, 4).transpose(1, 2).reshape(n * k, p, 4)
    # 2. Suppress duplicates.  No class can have more than D boxes among an image's best D.
    limit = p if max_per_img < 0 else min(p, max_per_img)
    index, scores = nms(boxes, scores, limit)
    boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4)).reshape(n, k * limit, 4)
    # 3. Rank the boxes of all classes of an image; a row's class is its set's.
    scores, order = scores.reshape(n, k * limit).sort(dim=1, descending=True, stable=True)
    counts = (scores > -torch.inf).sum(1)
    most = max_per_img if max_per_img >= 0 else int(counts.max())
    scores, order, counts = scores[:, :most], order[:, :most], counts.clamp(max=most)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return boxes, scores, order // max(limit, 1), counts


def detection_tensors(
    boxes: Tensor, scores: Tensor, labels: Tensor, counts: Tensor, masks: Tensor | None = None
) -> dict[str, Tensor]:
    """The padded results of ``multiclass_nms`` by name, 0 in rows without a detection.

    With ``masks`` (N, D, m, m) these, too.
    """
    empty = torch.arange(scores.shape[1], device=scores.device) >= counts[:, None]  # (N, D)
    tensors = dict(
        boxes=boxes.masked_fill(empty[..., None], 0),
        scores=scores.masked_fill(empty, 0),
        labels=labels.masked_fill(empty, 0),
        counts=counts,
    )
    if masks is not None:
        tensors['masks'] = masks.masked_fill(empty[..., None, None], 0)
    return tensors


def split_detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, counts: Tensor
) -> list[Detections]:
    """The padded results of ``multiclass_nms`` on the host, one item an image."""
    # One transfer for the whole batch, then views of each image's rows.
    boxes, scores, labels = boxes.cpu(), scores.cpu(), labels.cpu()
    return [
        Detections(boxes[i, :count], scores[i, :count], labels[i, :count])
        for i, count in enumerate(counts.tolist())
    ]
