"""The second stage of Cascade R-CNN: heads in a row, each refining the boxes of the one before.

Cai and Vasconcelos, Cascade R-CNN (2018); with masks as in mmdetection's Cascade Mask R-CNN.

N images, S samples an image, R regions of all images, K classes, m: edge of a mask.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hrdet.boxes import BoxConvention, clip_boxes
from hrdet.models.heads.bbox_head import SharedFCBBoxHead, class_probabilities
from hrdet.models.roi.base import RoIHead
from hrdet.models.roi.masks import mask_samples
from hrdet.models.roi.sampling import SamplingResult
from hrdet.ranges import NotNegative
from hrdet.registry import register
from hrdet.structures import Batch, Proposals


@register()
class CascadeRoIHead(RoIHead):
    """A box head a stage, with or without a mask head a stage.

    Args:
        stage_loss_weights: factor of all losses of a stage.
        shared: arguments of ``RoIHead``.
    """

    def __init__(
        self,
        bbox_head: Sequence[SharedFCBBoxHead],
        stage_loss_weights: Sequence[NotNegative],
        **shared,
    ) -> None:
        super().__init__(bbox_head=bbox_head, **shared)
        self.stage_loss_weights = stage_loss_weights
        check_stages(self)

    def loss(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """``s0.loss_cls``, ``s0.loss_bbox``, ``s0.loss_mask``, ``s1.loss_cls`` and so on."""
        losses, truth, extractor = {}, batch.truth, self.bbox_roi_extractor
        for stage, stage_weight in enumerate(self.stage_loss_weights):
            head, sampler = self.bbox_head[stage], self.region_sampler[stage]
            # 1. Sample the stage's proposals, classify them and regress their boxes.
            samples = sampler(proposals, truth, features, extractor, head)
            logits, deltas = head(extractor(features, samples.rois))
            stage_losses = box_losses(head, logits, deltas, samples)
            # 2. The mask head is trained on the same samples.
            if self.mask_head is not None:
                positives = samples.positives(sampler.most_positives)
                rois, *targets = mask_samples(positives, truth, self.mask_size, self.convention)
                mask_logits = self.mask_head[stage](self.mask_roi_extractor(features, rois))
                stage_losses['loss_mask'] = self.mask_head[stage].loss(mask_logits, *targets)
            losses |= {f's{stage}.{name}': stage_weight * x for name, x in stage_losses.items()}
            # 3. The regressed boxes are the next stage's proposals.
            sizes = batch.input_sizes
            proposals = next_proposals(head, samples, logits, deltas, sizes, self.convention)
        return losses

    def predict_boxes(
        self, features: list[Tensor], rois: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Class probabilities (R, K) and boxes (R, K or 1, 4) of ``rois`` (R, 5).

        ``sizes`` (R, 2) are the (h, w) of the regions' images.
        """
        extractor = self.bbox_roi_extractor
        return cascade_boxes(self.bbox_head, extractor, features, rois, sizes, self.convention)

    def predict_masks(self, features: list[Tensor], rois: Tensor, labels: Tensor) -> Tensor:
        """Soft masks (R, m, m) of ``rois`` (R, 5) of these classes (R,): the mean over stages."""
        # Every stage's head sees the same features (R, C, h, h).  The mean is of probabilities,
        # not of logits.
        roi_features = self.mask_roi_extractor(features, rois)
        masks = [head.probabilities(head(roi_features), labels) for head in self.mask_head]
        return torch.stack(masks).mean(0)


def check_stages(head: nn.Module) -> None:
    """Raise a ValueError unless there are as many samplers, weights and mask heads as box heads."""
    for name in ('stage_loss_weights', 'region_sampler', 'mask_head'):
        values, stages = getattr(head, name), len(head.bbox_head)
        if values is not None and len(values) != stages:
            raise ValueError(f'{stages} box heads, but {name} has {len(values)} stages')


def box_losses(
    head: SharedFCBBoxHead, logits: Tensor, deltas: Tensor, samples: SamplingResult
) -> dict[str, Tensor]:
    """``loss_cls`` and ``loss_bbox`` of one stage's samples (N, S)."""
    targets = head.coder.encode(samples.boxes, samples.gt_boxes).flatten(0, 1)  # (N * S, 4)
    labels, weight = samples.labels.flatten(), samples.weight.flatten()
    return head.loss(logits, deltas, labels, targets, weight)


@torch.no_grad()
def next_proposals(
    head: SharedFCBBoxHead,
    samples: SamplingResult,
    logits: Tensor,
    deltas: Tensor,
    sizes: Tensor,
    convention: BoxConvention,
) -> Proposals:
    """The samples (N, S) moved by their deltas, without the objects that were added to them."""
    # 1. Boxes (N * S, 4) moved by the deltas of their class, then clipped as (N, S, 4).
    boxes, labels = samples.boxes.flatten(0, 1), samples.labels.flatten()
    boxes = head.regress_by_class(boxes, logits, deltas, labels).view_as(samples.boxes)
    boxes = clip_boxes(boxes, sizes[:, None], convention)
    # 2. Added objects go: the next stage's sampler adds them again.
    valid = (samples.weight > 0) & ~samples.is_gt
    return Proposals(boxes, valid.to(boxes.dtype), valid)


def cascade_boxes(
    heads: Sequence[SharedFCBBoxHead],
    extractor: nn.Module,
    features: Any,
    rois: Tensor,
    sizes: Tensor,
    convention: BoxConvention,
) -> tuple[Tensor, Tensor]:
    """All stages one after the other: the mean of their logits, the boxes of the last one."""
    votes, boxes = [], rois[:, 1:]
    for head in heads:
        # 1. Classify the boxes of this stage; every stage has a vote.
        rois = torch.cat([rois[:, :1], boxes], 1)
        logits, deltas = head(extractor(features, rois))
        votes.append(logits)
        # 2. Moved by the deltas of their likeliest class, they are the boxes of the next stage.
        boxes = head.regress_by_class(rois[:, 1:], logits, deltas)
        boxes = clip_boxes(boxes, sizes, convention)
    # 3. Of the last stage the boxes of every class: (R, K or 1, 4).
    return class_probabilities(votes), head.decode(rois[:, 1:], deltas)
