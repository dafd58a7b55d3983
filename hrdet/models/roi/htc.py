"""The second stage of Hybrid Task Cascade (Chen et al. 2019).

Boxes and masks are refined in turn (interleaved execution), every mask head sees what the one
before made of the region (mask information flow), and both see a map of stuff (semantic branch).

N images, R regions of all images, m: edge of a region's features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.heads.semantic_head import FusedSemanticHead
from hrdet.models.roi.cascade import CascadeRoIHead
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.sampling import Regions
from hrdet.registry import register
from hrdet.structures import Batch, Proposals


class SemanticMaps(NamedTuple):
    """The pyramid, and beside it what the semantic branch found."""

    pyramid: list[Tensor]
    logits: Tensor | None = None  # (N, classes of stuff and things, h, w)
    embedding: Tensor | None = None  # (N, C, h, w)


@register()
class HybridTaskCascadeRoIHead(CascadeRoIHead):
    """A cascade whose tasks help each other; every part can be left out.

    Args:
        semantic_roi_extractor, semantic_head: the semantic branch, or None.
        semantic_fusion: to which features it is added: 'bbox', 'mask'.
        interleaved: masks learn from the boxes that their stage has refined, sampled anew.
        mask_info_flow: mask heads get the features of those before; these have no ``conv_res`` if
            there is nothing to get.
        shared: arguments of ``CascadeRoIHead``.
    """

    def __init__(
        self,
        semantic_roi_extractor: SingleRoIExtractor | None = None,
        semantic_head: FusedSemanticHead | None = None,
        semantic_fusion: Sequence[str] = ('bbox', 'mask'),
        interleaved: bool = True,
        mask_info_flow: bool = True,
        **shared,
    ) -> None:
        super().__init__(**shared)
        self.semantic_roi_extractor, self.semantic_head = semantic_roi_extractor, semantic_head
        self.semantic_fusion = semantic_fusion if semantic_head is not None else ()
        self.interleaved, self.mask_info_flow = interleaved, mask_info_flow

    def maps(self, features: list[Tensor]) -> SemanticMaps:
        if self.semantic_head is None:
            return SemanticMaps(features)
        return SemanticMaps(features, *self.semantic_head(features))

    def box_features(self, maps: SemanticMaps, rois: Tensor) -> Tensor:
        return self._fused('bbox', self.bbox_roi_extractor, maps, rois)

    def mask_features(self, maps: SemanticMaps, rois: Tensor) -> Tensor:
        return self._fused('mask', self.mask_roi_extractor, maps, rois)

    def _fused(self, task: str, extractor, maps: SemanticMaps, rois: Tensor) -> Tensor:
        regions = extractor(maps.pyramid, rois)
        if task not in self.semantic_fusion:
            return regions
        semantic = self.semantic_roi_extractor([maps.embedding], rois)
        return regions + _shrunk(semantic, regions.shape[-1])

    def loss(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """Those of ``CascadeRoIHead``, and ``loss_semantic_seg``."""
        maps = self.maps(features)
        losses = self.stage_losses(maps, proposals, batch)
        if self.semantic_head is not None:
            losses['loss_semantic_seg'] = self.semantic_head.loss(
                maps.logits,
                batch.truth.semantic,
                of_all=self.convention.semantic_mean_of_all,
            )
        return losses

    def _mask_regions(self, stage, box_of, regions: Regions, refined: Proposals, batch: Batch):
        """The refined boxes of the stage, assigned and sampled once more."""
        if not self.interleaved:
            return regions
        sampler, head = self.region_sampler[stage], self.bbox_head[stage]
        return self.sample(sampler, head, box_of, refined, batch.truth)

    def _mask_logits(self, maps: SemanticMaps, rois: Tensor, stage: int) -> Tensor:
        first = 0 if self.mask_info_flow else stage
        *_, embedding = self._embeddings(maps, rois, self.mask_head[first : stage + 1])
        return self.mask_head[stage].logits(embedding)

    def _embeddings(self, maps: SemanticMaps, rois: Tensor, heads: nn.ModuleList):
        """Features (R, C, m, m) that mask heads make of the regions, one after the other."""
        regions, embedding = self.mask_features(maps, rois), None
        for head in heads:
            embedding = head.embed(regions, embedding if self.mask_info_flow else None)
            yield embedding

    def mask_probabilities(self, maps: SemanticMaps, rois: Tensor, labels: Tensor) -> Tensor:
        """The mean over the stages, each with the features of the one before."""
        embeddings = self._embeddings(maps, rois, self.mask_head)
        votes = [
            head.probabilities(head.logits(embedding), labels)
            for head, embedding in zip(self.mask_head, embeddings)
        ]
        return torch.stack(votes).mean(0)


def _shrunk(maps: Tensor, size: int) -> Tensor:
    """Maps (R, C, m, m) as the means of their cells (R, C, size, size)."""
    if maps.shape[-1] % size == 0:
        # The same, but that of adaptive pooling has no deterministic gradient on CUDA.
        return F.avg_pool2d(maps, maps.shape[-1] // size)
    return F.adaptive_avg_pool2d(maps, size)
