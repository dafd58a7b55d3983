"""FCOS (Tian et al. 2019): extract features, train at every point or predict from the best ones."""

import torch
from torch import Tensor, nn

from hrdet.models.detectors.base import Detector
from hrdet.models.heads.fcos_head import FCOSHead
from hrdet.models.maps import check_takes
from hrdet.models.multiclass_nms import detection_tensors, split_detections
from hrdet.models.preprocess import Preprocess
from hrdet.models.views import augmented_batches, augmented_view, input_view
from hrdet.registry import register
from hrdet.structures import Batch, Detections, Views


@register()
class FCOS(Detector):
    """The one-stage detector."""

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: nn.Module | None,
        bbox_head: FCOSHead,
        convention: str,
    ) -> None:
        super().__init__(preprocess, backbone, neck, convention)
        self.bbox_head = bbox_head
        check_takes(bbox_head, 'bbox_head', self.maps)

    def heads(self) -> dict[str, nn.Module]:
        return dict(bbox_head=self.bbox_head)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return self.bbox_head.loss(self.bbox_head(self.extract(batch)), batch.truth)

    @torch.no_grad()
    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[Detections]:
        # 1. Candidates (N, C) of every view; NMS is applied to all views together.
        boxes, scores = [], []
        for one in augmented_batches(batch, rescale):
            view = augmented_view(one, self.convention, rescale)
            candidates = self.bbox_head.candidates(self.extract(one), view)
            boxes.append(candidates[0])
            scores.append(candidates[1])
        # 2. The best of each image, without duplicates.
        return split_detections(*self.bbox_head.select(torch.cat(boxes, 1), torch.cat(scores, 1)))

    @torch.no_grad()
    def predict_tensors(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        """``boxes`` (N, D, 4), ``scores`` and ``labels`` (N, D), best first, and ``counts`` (N,).

        An image has ``counts`` detections; rows beyond are 0.
        """
        batch = self._batch(images, sizes)
        view = input_view(batch.input_sizes, self.convention)
        candidates = self.bbox_head.candidates(self.extract(batch), view)
        return detection_tensors(*self.bbox_head.select(*candidates))
