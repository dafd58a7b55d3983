"""Faster R-CNN (Ren et al. 2015): extract features, propose regions, train on them or predict."""

import torch
from torch import Tensor, nn

from hrdet.models.detectors.base import Detector, image_scales, split_detections
from hrdet.models.heads.rpn_head import RPNHead
from hrdet.models.preprocess import Preprocess
from hrdet.models.roi.standard import StandardRoIHead
from hrdet.registry import register
from hrdet.structures import Batch, Detections


@register()
class FasterRCNN(Detector):
    """The two-stage detector; ``convention`` is what its numbers mean (see ``hrdet.boxes``)."""

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: nn.Module,
        rpn_head: RPNHead,
        roi_head: StandardRoIHead,
        convention: str,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone = backbone
        self.neck = neck
        self.rpn_head = rpn_head
        self.roi_head = roi_head
        self.convention = convention

    def extract(self, batch: Batch) -> list[Tensor]:
        """Feature maps (N, C, h, w) of all levels."""
        return self.neck(self.backbone(self.preprocess(batch)))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        features = self.extract(batch)
        rpn_out = self.rpn_head(features)
        losses = self.rpn_head.loss(rpn_out, batch)
        proposals = self.rpn_head.propose(rpn_out, batch)
        return losses | self.roi_head.loss(features, proposals, batch.truth)

    @torch.no_grad()
    def predict(self, batch: Batch, rescale: bool = True) -> list[Detections]:
        features = self.extract(batch)
        proposals = self.rpn_head.propose(self.rpn_head(features), batch)
        scale = image_scales(batch, rescale)
        return split_detections(*self.roi_head.predict(features, proposals, batch, scale))
