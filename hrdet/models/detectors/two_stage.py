"""Two-stage detectors: extract features, propose regions, train on them or predict from them.

Faster R-CNN (Ren et al. 2015) and those built on it; which one it is, ``roi_head`` decides.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from hrdet.models.detectors.base import Detector
from hrdet.models.heads.rpn_head import RPNHead, merge_proposals
from hrdet.models.preprocess import Preprocess
from hrdet.models.roi.base import RoIHead
from hrdet.models.views import forms, look
from hrdet.registry import register
from hrdet.structures import Batch, Detections, Views


@register('FasterRCNN', 'MaskRCNN', 'CascadeRCNN', 'HybridTaskCascade')
class TwoStageDetector(Detector):
    """The algorithm."""

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: nn.Module,
        rpn_head: RPNHead,
        roi_head: RoIHead,
        convention: str,
    ) -> None:
        super().__init__(preprocess, backbone, neck, convention)
        self.rpn_head = rpn_head
        self.roi_head = roi_head

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        features = self.extract(batch)
        rpn_out = self.rpn_head(features)
        losses = self.rpn_head.loss(rpn_out, batch)
        proposals = self.rpn_head.propose(rpn_out, batch)
        return losses | self.roi_head.loss(features, proposals, batch)

    @torch.no_grad()
    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[Detections]:
        views, proposals = [], []
        for form in forms(batch, rescale):
            view = look(form, self.extract(form), self.convention, rescale)
            views.append(view)
            proposals.append(self.rpn_head.propose(self.rpn_head(view.features), form))
        if len(views) > 1:
            merged = merge_proposals(proposals, views, self.rpn_head.test_proposals)
            proposals = [replace(merged, boxes=view.from_result(merged.boxes)) for view in views]
        return self.roi_head.predict(views, proposals)
