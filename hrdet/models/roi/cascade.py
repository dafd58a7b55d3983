"""The second stage of Cascade R-CNN: heads in a row, each refining the boxes of the one before.

Cai and Vasconcelos, Cascade R-CNN (2018); with masks as in mmdetection's Cascade Mask R-CNN.

N images, P proposals, S samples an image, R regions of all images, K classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hrdet.boxes import clip_boxes
from hrdet.models.heads.bbox_head import SharedFCBBoxHead, class_probabilities
from hrdet.models.heads.mask_head import FCNMaskHead
from hrdet.models.roi.base import RoIHead, check_mask_size
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.sampling import Regions, RegionSampler
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
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: Sequence[SharedFCBBoxHead],
        convention: str,
        stage_loss_weights: Sequence[float],
        region_sampler: Sequence[RegionSampler] | None = None,
        mask_roi_extractor: SingleRoIExtractor | None = None,
        mask_head: Sequence[FCNMaskHead] | None = None,
        **shared,
    ) -> None:
        super().__init__(
            bbox_roi_extractor, convention, mask_roi_extractor=mask_roi_extractor, **shared
        )
        self.bbox_head = nn.ModuleList(bbox_head)
        self.mask_head = None if mask_head is None else nn.ModuleList(mask_head)
        self.region_sampler, self.stage_loss_weights = region_sampler, stage_loss_weights
        given = dict(stage_loss_weights=stage_loss_weights, region_sampler=region_sampler)
        for name, values in (given | dict(mask_head=mask_head)).items():
            if values is not None and len(values) != len(bbox_head):
                raise ValueError(f'{len(bbox_head)} box heads, but {name} has {len(values)} stages')
        for head in mask_head or ():
            check_mask_size(self.mask_size, mask_roi_extractor, head)

    def loss(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """``s0.loss_cls``, ``s0.loss_bbox``, ``s0.loss_mask``, ``s1.loss_cls`` and so on."""
        return self.stage_losses(self.maps(features), proposals, batch)

    def stage_losses(self, maps: Any, proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """The losses of all stages by name; proposals pass from one to the next."""
        losses = {}
        for stage, weight in enumerate(self.stage_loss_weights):
            found, proposals = self._stage_loss(stage, maps, proposals, batch)
            losses |= {f's{stage}.{name}': weight * value for name, value in found.items()}
        return losses

    def _stage_loss(
        self, stage: int, maps: Any, proposals: Proposals, batch: Batch
    ) -> tuple[dict[str, Tensor], Proposals]:
        """Losses of one stage, and its refined boxes, the proposals of the next one."""
        head, sampler = self.bbox_head[stage], self.region_sampler[stage]

        def box_of(rois: Tensor) -> tuple[Tensor, Tensor]:
            return head(self.box_features(maps, rois))

        regions = self.sample(sampler, head, box_of, proposals, batch.truth)
        losses, (logits, deltas) = self.box_loss(head, box_of, regions)
        refined = self._refined(head, regions, logits, deltas, batch.input_sizes)
        if self.mask_head is not None:
            regions = self._mask_regions(stage, box_of, regions, refined, batch)
            losses['loss_mask'] = self.mask_loss(
                self.mask_head[stage],
                lambda rois: self._mask_logits(maps, rois, stage),
                sampler,
                regions,
                batch.truth,
            )
        return losses, refined

    def _mask_regions(self, stage, box_of, regions: Regions, refined: Proposals, batch: Batch):
        """What a stage's mask head learns from: the regions of its box head."""
        return regions

    def _mask_logits(self, maps: Any, rois: Tensor, stage: int) -> Tensor:
        return self.mask_head[stage](self.mask_features(maps, rois))

    @torch.no_grad()
    def _refined(
        self, head: SharedFCBBoxHead, regions: Regions, logits: Tensor, deltas: Tensor, sizes
    ) -> Proposals:
        """The regions after one step, without the objects that were added to them."""
        boxes, labels = regions.boxes.flatten(0, 1), regions.labels.flatten()
        boxes = head.step(boxes, logits, deltas, labels).view_as(regions.boxes)
        boxes = clip_boxes(boxes, sizes[:, None], self.convention)
        valid = (regions.weight > 0) & ~regions.is_truth
        return Proposals(boxes, valid.to(boxes.dtype), valid)

    def refine(self, maps: Any, rois: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """All stages one after the other: the mean of their logits, the boxes of the last."""
        votes, boxes = [], rois[:, 1:]
        for head in self.bbox_head:
            rois = torch.cat([rois[:, :1], boxes], 1)
            logits, deltas = head(self.box_features(maps, rois))
            votes.append(logits)
            boxes = clip_boxes(head.step(rois[:, 1:], logits, deltas), sizes, self.convention)
        return class_probabilities(votes), head.decode(rois[:, 1:], deltas)

    def mask_probabilities(self, maps: Any, rois: Tensor, labels: Tensor) -> Tensor:
        """The mean over the stages."""
        features = self.mask_features(maps, rois)
        return torch.stack(
            [head.probabilities(head(features), labels) for head in self.mask_head]
        ).mean(0)
