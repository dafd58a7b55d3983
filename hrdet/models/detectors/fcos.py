"""FCOS (Tian et al. 2019): extract features, learn at every point or predict from the best."""

import torch
from torch import Tensor, nn

from hrdet.models.detectors.base import Detector
from hrdet.models.heads.fcos_head import FCOSHead
from hrdet.models.preprocess import Preprocess
from hrdet.models.views import forms, look
from hrdet.registry import register
from hrdet.structures import Batch, Detections, Views


@register()
class FCOS(Detector):
    """The one-stage detector."""

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: nn.Module,
        bbox_head: FCOSHead,
        convention: str,
    ) -> None:
        super().__init__(preprocess, backbone, neck, convention)
        self.bbox_head = bbox_head

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return self.bbox_head.loss(self.bbox_head(self.extract(batch)), batch.truth)

    @torch.no_grad()
    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[Detections]:
        seen = [
            self.bbox_head.candidates(look(form, self.extract(form), self.convention, rescale))
            for form in forms(batch, rescale)
        ]
        boxes, scores = (torch.cat(parts, 1) for parts in zip(*seen))
        return self.bbox_head.select(boxes, scores)
