"""The second stage of Faster and Mask R-CNN.

Ren et al., Faster R-CNN (2015); He et al., Mask R-CNN (2017).

N images, S samples an image, R regions of all images, K classes, m: edge of a mask.
"""

from torch import Tensor

from hrdet.models.heads.bbox_head import class_probabilities
from hrdet.models.roi.base import RoIHead
from hrdet.models.roi.masks import mask_samples
from hrdet.registry import register
from hrdet.structures import Batch, Proposals


@register()
class StandardRoIHead(RoIHead):
    """One box head, with or without a mask head."""

    def loss(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox`` and ``loss_mask`` over a random sample of the proposals."""
        head, sampler, truth = self.bbox_head, self.region_sampler, batch.truth
        # 1. Assign the proposals to objects and sample S of each image, positives first.
        extractor = self.bbox_roi_extractor
        samples = sampler(proposals, truth, features, extractor, head)
        # 2. Classify the samples and regress their boxes: (N * S, K + 1) and (N * S, K or 1, 4).
        logits, deltas = head(extractor(features, samples.rois))
        targets = head.coder.encode(samples.boxes, samples.gt_boxes).flatten(0, 1)  # (N * S, 4)
        losses = head.loss(
            logits, deltas, samples.labels.flatten(), targets, samples.weight.flatten()
        )
        # 3. Masks (R, K or 1, m, m) of the positives, in their objects' channels.
        if self.mask_head is not None:
            positives = samples.positives(sampler.most_positives)
            rois, *targets = mask_samples(positives, truth, self.mask_size, self.convention)
            logits = self.mask_head(self.mask_roi_extractor(features, rois))
            losses['loss_mask'] = self.mask_head.loss(logits, *targets)
        return losses

    def predict_boxes(
        self, features: list[Tensor], rois: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Class probabilities (R, K) and boxes (R, K or 1, 4) of ``rois`` (R, 5)."""
        # (R, K + 1), and (R, K or 1, 4).
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, rois))
        return class_probabilities([logits]), self.bbox_head.decode(rois[:, 1:], deltas)

    def predict_masks(self, features: list[Tensor], rois: Tensor, labels: Tensor) -> Tensor:
        """Soft masks (R, m, m) of ``rois`` (R, 5) of these classes (R,)."""
        logits = self.mask_head(self.mask_roi_extractor(features, rois))
        return self.mask_head.probabilities(logits, labels)
