"""The second stage of Faster R-CNN: sample proposals, extract, classify, refine.

N images, P proposals, S samples an image, K classes.
"""

import torch
from torch import Tensor, nn

from hrdet.boxes import BoxConvention, clip_boxes, scale_boxes
from hrdet.matching import add_truth
from hrdet.models.gather import gather_rows
from hrdet.models.heads.bbox_head import SharedFCBBoxHead, class_probabilities
from hrdet.models.roi.extractor import SingleRoIExtractor, batch_rois, on_valid_rows
from hrdet.models.roi.multiclass_nms import NMS, SoftNMS, multiclass_nms
from hrdet.registry import register
from hrdet.structures import Batch, GroundTruth, Proposals


@register()
class StandardRoIHead(nn.Module):
    """One box head on regions of one extractor.

    Args:
        pos_weight: weight of a positive region in the classification loss; 1 if not above 0.
        score_thr: detections must score more.
        max_per_img: detections an image at most; below 0 all.
    """

    def __init__(
        self,
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: SharedFCBBoxHead,
        convention: str,
        assigner=None,
        sampler=None,
        pos_weight: float = -1,
        score_thr: float = 0.05,
        nms: NMS | SoftNMS = NMS(0.5),
        max_per_img: int = 100,
    ) -> None:
        super().__init__()
        self.bbox_roi_extractor, self.bbox_head = bbox_roi_extractor, bbox_head
        self.convention = BoxConvention(convention)
        self.assigner, self.sampler = assigner, sampler
        self.pos_weight = pos_weight if pos_weight > 0 else 1.0
        self.score_thr, self.nms, self.max_per_img = score_thr, nms, max_per_img

    def loss(self, features: list[Tensor], proposals: Proposals, truth: GroundTruth):
        """``loss_cls`` and ``loss_bbox`` over a random sample of the proposals."""
        boxes, labels, gt_boxes, weight = self._sample(features, proposals, truth)
        rois = batch_rois(boxes, weight > 0)
        logits, deltas = on_valid_rows(lambda r: self._head(features, r), rois)
        targets = self.bbox_head.coder.encode(boxes, gt_boxes).flatten(0, 1)
        return self.bbox_head.loss(logits, deltas, labels.flatten(), targets, weight.flatten())

    def predict(
        self, features: list[Tensor], proposals: Proposals, batch: Batch, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores, labels and counts of each image, as ``multiclass_nms`` returns them.

        Boxes are divided by ``scale`` (N, 2) before the suppression, as the release does: with
        inclusive boxes overlaps depend on the scale.
        """
        n, p = proposals.valid.shape
        rois = batch_rois(proposals.boxes, proposals.valid)
        logits, deltas = on_valid_rows(lambda r: self._head(features, r), rois)
        scores = class_probabilities([logits]).unflatten(0, (n, p))
        scores = scores.masked_fill(~proposals.valid[..., None], -torch.inf)
        boxes = self.bbox_head.decode(rois[:, 1:], deltas).unflatten(0, (n, p))
        boxes = clip_boxes(boxes, batch.input_sizes[:, None, None], self.convention)
        boxes = scale_boxes(boxes, 1 / scale[:, None, None], self.convention)
        return multiclass_nms(boxes, scores, self.score_thr, self.nms, self.max_per_img)

    def _head(self, features: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        return self.bbox_head(self.bbox_roi_extractor(features, rois))

    @torch.no_grad()
    def _sample(self, features: list[Tensor], proposals: Proposals, truth: GroundTruth):
        """Boxes (N, S, 4) to train on, their labels, their objects' boxes and their weights."""
        assignment = self.assigner(proposals.boxes, proposals.valid, truth)
        if self.sampler.add_gt_as_proposals:
            proposals, assignment = add_truth(proposals, assignment, truth)
        labels = truth.labels.gather(1, assignment.gt_index.clamp(min=0))
        labels = torch.where(assignment.gt_index >= 0, labels, self.bbox_head.num_classes)
        if self.sampler.needs_losses:
            hardness = self._classification_losses(features, proposals, labels)
            samples = self.sampler.sample(assignment, hardness)
        else:
            samples = self.sampler.sample(assignment)
        weight = torch.where(samples.positive, self.pos_weight, 1.0) * samples.valid
        return (
            gather_rows(proposals.boxes, samples.index),
            labels.gather(1, samples.index),
            gather_rows(truth.boxes, samples.gt_index),
            weight,
        )

    def _classification_losses(self, features: list[Tensor], proposals: Proposals, labels: Tensor):
        """Of every proposal (N, P), for the sampler that prefers hard ones."""
        rois = batch_rois(proposals.boxes, proposals.valid)
        logits, _ = on_valid_rows(lambda r: self._head(features, r), rois)
        return self.bbox_head.loss_cls.elements(logits, labels.flatten()).view_as(labels)
