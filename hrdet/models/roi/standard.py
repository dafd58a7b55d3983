"""The second stage of Faster and Mask R-CNN: sample proposals, classify, refine, cut out.

Ren et al., Faster R-CNN (2015); He et al., Mask R-CNN (2017).

N images, S samples an image, R regions of all images.
"""

from torch import Tensor

from hrdet.models.heads.bbox_head import SharedFCBBoxHead, class_probabilities
from hrdet.models.heads.mask_head import FCNMaskHead
from hrdet.models.roi.base import RoIHead, check_mask_size
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.sampling import RegionSampler
from hrdet.registry import register
from hrdet.structures import Batch, Proposals


@register()
class StandardRoIHead(RoIHead):
    """One box head, with or without a mask head; ``shared`` arguments are those of ``RoIHead``."""

    def __init__(
        self,
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: SharedFCBBoxHead,
        convention: str,
        region_sampler: RegionSampler | None = None,
        mask_roi_extractor: SingleRoIExtractor | None = None,
        mask_head: FCNMaskHead | None = None,
        **shared,
    ) -> None:
        super().__init__(
            bbox_roi_extractor, convention, mask_roi_extractor=mask_roi_extractor, **shared
        )
        self.bbox_head, self.mask_head = bbox_head, mask_head
        self.region_sampler = region_sampler
        if mask_head is not None:
            check_mask_size(self.mask_size, mask_roi_extractor, mask_head)

    def loss(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox`` and ``loss_mask`` over a random sample of the proposals."""
        maps, truth = self.maps(features), batch.truth

        def box_of(rois: Tensor) -> tuple[Tensor, Tensor]:
            return self.bbox_head(self.box_features(maps, rois))

        def mask_of(rois: Tensor) -> Tensor:
            return self.mask_head(self.mask_features(maps, rois))

        regions = self.sample(self.region_sampler, self.bbox_head, box_of, proposals, truth)
        losses, _ = self.box_loss(self.bbox_head, box_of, regions)
        if self.mask_head is not None:
            sampler = self.region_sampler
            losses['loss_mask'] = self.mask_loss(self.mask_head, mask_of, sampler, regions, truth)
        return losses

    def refine(self, maps: list[Tensor], rois: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = self.bbox_head(self.box_features(maps, rois))
        return class_probabilities([logits]), self.bbox_head.decode(rois[:, 1:], deltas)

    def mask_probabilities(self, maps: list[Tensor], rois: Tensor, labels: Tensor) -> Tensor:
        return self.mask_head.probabilities(self.mask_head(self.mask_features(maps, rois)), labels)
