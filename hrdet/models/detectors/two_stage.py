"""Two-stage detectors: extract features, propose regions, train on them or predict from them.

Faster R-CNN (Ren et al. 2015) and its descendants; ``roi_head`` decides which one it is.

N images, P proposals and D detections of each, K classes, m: edge of a mask.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hrdet.boxes import clip_boxes
from hrdet.models.detectors.base import Detector
from hrdet.models.heads.rpn_head import RPNHead, merge_proposals
from hrdet.models.maps import check_takes
from hrdet.models.multiclass_nms import detection_tensors, multiclass_nms, split_detections
from hrdet.models.preprocess import Preprocess
from hrdet.models.roi.base import RoIHead
from hrdet.models.roi.extractor import batch_rois, valid_rows
from hrdet.models.roi.masks import paste_masks
from hrdet.models.views import (
    AugmentedView,
    augmented_batches,
    augmented_view,
    input_view,
)
from hrdet.registry import register
from hrdet.structures import Batch, Detections, Views


@register('FasterRCNN', 'MaskRCNN', 'CascadeRCNN', 'HybridTaskCascade')
class TwoStageDetector(Detector):
    """Faster, Mask and Cascade R-CNN and Hybrid Task Cascade, which differ in ``roi_head``."""

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: nn.Module | None,
        rpn_head: RPNHead,
        roi_head: RoIHead,
        convention: str,
    ) -> None:
        super().__init__(preprocess, backbone, neck, convention)
        self.rpn_head, self.roi_head = rpn_head, roi_head
        check_takes(rpn_head, 'rpn_head', self.maps)
        roi_head.check_takes(self.maps)

    def heads(self) -> dict[str, nn.Module]:
        return dict(rpn_head=self.rpn_head)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        # Feature maps (N, C, h, w) of all levels.
        features = self.extract(batch)
        rpn_out = self.rpn_head(features)
        losses = self.rpn_head.loss(rpn_out, batch)
        proposals = self.rpn_head.propose(rpn_out, batch)
        return losses | self.roi_head.loss(features, proposals, batch)

    @torch.no_grad()
    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[Detections]:
        batches = augmented_batches(batch, rescale)
        views = [augmented_view(one, self.convention, rescale) for one in batches]
        found, masks = self._predict(batches, views)
        detections = split_detections(*found)
        if masks is None:
            return detections
        # All views share the detections, whose pixels are those of the first view's result.
        sizes, threshold = views[0].result_sizes, self.roi_head.mask_thr_binary
        return paste_masks(detections, masks.cpu(), sizes, threshold, self.convention)

    @torch.no_grad()
    def predict_tensors(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        """``boxes`` (N, D, 4), ``scores`` and ``labels`` (N, D), best first, and ``counts`` (N,).

        An image has ``counts`` detections; rows beyond are 0.  With masks also ``masks`` (N, D, m,
        m), probabilities inside the boxes.
        """
        batch = self._batch(images, sizes)
        found, masks = self._predict([batch], [input_view(batch.input_sizes, self.convention)])
        return detection_tensors(*found, masks)

    def _predict(
        self, batches: list[Batch], views: list[AugmentedView]
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """What ``multiclass_nms`` returns, and soft masks (N, D, m, m) where there is a head."""
        # 1. Features and proposals of every view; several views share the best of all of them.
        features, proposals = [], []
        for one in batches:
            features.append(self.extract(one))
            proposals.append(self.rpn_head.propose(self.rpn_head(features[-1]), one))
        if len(views) > 1:
            merged = merge_proposals(proposals, views, self.rpn_head.test_proposals)
            proposals = [replace(merged, boxes=view.from_result(merged.boxes)) for view in views]
        # 2. Boxes (N, P, K or 1, 4) and class scores (N, P, K) of the proposals in every view.  NMS
        #    works on result pixels, as in the releases: overlaps of inclusive boxes depend on the
        #    scale.
        head, boxes, scores = self.roi_head, [], []
        features = [head.prepare(maps) for maps in features]
        for maps, view, regions in zip(features, views, proposals):
            rois = batch_rois(regions.boxes, regions.valid)  # (N * P, 5)
            rows = valid_rows(rois)
            found = head.predict_boxes(maps, rois[rows], view.sizes[rois[rows, 0].long()])
            row_scores, row_boxes = (_all_rows(x, rows, regions.valid) for x in found)
            row_boxes = clip_boxes(row_boxes, view.sizes[:, None, None], self.convention)
            boxes.append(view.to_result(row_boxes))
            scores.append(row_scores.masked_fill(~regions.valid[..., None], -torch.inf))
        # 3. The best D of each image without duplicates, from the mean of all views.
        boxes, scores, labels, counts = multiclass_nms(
            torch.stack(boxes).mean(0),
            torch.stack(scores).mean(0),
            head.score_thr,
            head.nms,
            head.max_per_img,
        )
        if head.mask_head is None:
            return (boxes, scores, labels, counts), None
        # 4. Their masks.
        valid = torch.arange(scores.shape[1], device=scores.device) < counts[:, None]  # (N, D)
        masks = [
            self._predict_masks(maps, view, boxes, labels, valid)
            for maps, view in zip(features, views)
        ]
        return (boxes, scores, labels, counts), torch.stack(masks).mean(0)

    def _predict_masks(
        self, features: Any, view: AugmentedView, boxes: Tensor, labels: Tensor, valid: Tensor
    ) -> Tensor:
        """Soft masks (N, D, m, m) of the ``valid`` detections (N, D), from one view, upright."""
        rois = batch_rois(view.from_result(boxes), valid)  # (N * D, 5)
        rows = valid_rows(rois)
        predicted = self.roi_head.predict_masks(features, rois[rows], labels.flatten()[rows])
        masks = _all_rows(predicted, rows, valid)
        return torch.where(view.flipped[:, None, None, None], masks.flip(-1), masks)


def _all_rows(values: Tensor, rows: Tensor | slice, valid: Tensor) -> Tensor:
    """Values of some rows, as (N, P, ...) for ``valid`` (N, P); 0 in the other rows."""
    whole = values.new_zeros(valid.numel(), *values.shape[1:])
    whole[rows] = values
    return whole.unflatten(0, valid.shape)
