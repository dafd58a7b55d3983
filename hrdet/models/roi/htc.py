"""The second stage of Hybrid Task Cascade (Chen et al. 2019).

Boxes and masks are refined in turn (interleaved execution), every mask head gets the features of
the mask head before it (mask information flow), and a semantic branch adds its features to both.

N images, R regions of all images, K classes, m: edge of a mask.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.heads.bbox_head import SharedFCBBoxHead
from hrdet.models.heads.semantic_head import FusedSemanticHead
from hrdet.models.maps import Maps, check_takes
from hrdet.models.roi.base import RoIHead
from hrdet.models.roi.cascade import box_losses, cascade_boxes, check_stages, next_proposals
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.masks import mask_samples
from hrdet.ranges import NotNegative
from hrdet.registry import ConfigError, register
from hrdet.structures import Batch, Proposals


class SemanticFeatures(NamedTuple):
    """The pyramid, and beside it the outputs of the semantic branch."""

    pyramid: list[Tensor]
    logits: Tensor | None = None  # (N, semantic classes, h, w)
    embedding: Tensor | None = None  # (N, C, h, w)


@dataclass(frozen=True, slots=True)
class SemanticRoIExtractor:
    """Features of regions: from the pyramid, plus those from the semantic embedding, if any."""

    pyramid: nn.Module
    embedding: nn.Module | None

    def __call__(self, features: SemanticFeatures, rois: Tensor) -> Tensor:
        """Features (R, C, h, h) of ``rois`` (R, 5)."""
        regions = self.pyramid(features.pyramid, rois)
        if self.embedding is None:
            return regions
        # Larger maps (14 x 14 where a box head takes 7 x 7), averaged to the size of the others.
        semantic = self.embedding([features.embedding], rois)
        return regions + _mean_pooled(semantic, regions.shape[-1])


@register()
class HybridTaskCascadeRoIHead(RoIHead):
    """A cascade whose tasks help each other; every part can be left out.

    Args:
        stage_loss_weights: factor of all losses of a stage but the semantic one.
        semantic_roi_extractor, semantic_head: the semantic branch, or None.
        semantic_fusion: which features it is added to: 'bbox', 'mask'.
        interleaved: a mask head trains on the boxes that its stage has refined, sampled again.
        mask_info_flow: mask heads get the features of those before; without it they need no
            ``conv_res``.
        shared: arguments of ``RoIHead``.
    """

    def __init__(
        self,
        bbox_head: Sequence[SharedFCBBoxHead],
        stage_loss_weights: Sequence[NotNegative],
        semantic_roi_extractor: SingleRoIExtractor | None = None,
        semantic_head: FusedSemanticHead | None = None,
        semantic_fusion: Sequence[str] = ('bbox', 'mask'),
        interleaved: bool = True,
        mask_info_flow: bool = True,
        **shared,
    ) -> None:
        super().__init__(bbox_head=bbox_head, **shared)
        self.stage_loss_weights = stage_loss_weights
        self.semantic_roi_extractor, self.semantic_head = semantic_roi_extractor, semantic_head
        # The extractor of the semantic embedding, for the tasks that it is added to.
        semantic = {task: semantic_roi_extractor for task in semantic_fusion if semantic_head}
        self.box_features = SemanticRoIExtractor(self.bbox_roi_extractor, semantic.get('bbox'))
        self.mask_features = SemanticRoIExtractor(self.mask_roi_extractor, semantic.get('mask'))
        self.interleaved, self.mask_info_flow = interleaved, mask_info_flow
        check_stages(self)

    def check_takes(self, maps: Maps | None) -> None:
        super().check_takes(maps)
        head, extractor = self.semantic_head, self.semantic_roi_extractor
        if head is None or maps is None:
            return
        check_takes(head, 'semantic_head', maps)
        if head.num_ins != len(maps.strides):
            raise ConfigError(
                f'model.semantic_head: num_ins={head.num_ins}, but the neck gives '
                f'{len(maps.strides)} maps'
            )
        # The embedding has the stride of one level, and is added to what other extractors give.
        stride = [maps.strides[head.fusion_level]]
        for channels, giver in (head.out_channels, 'semantic_head'), (maps.channels[0], 'the neck'):
            check_takes(extractor, 'semantic_roi_extractor', Maps([channels], stride), giver)

    def prepare(self, features: list[Tensor]) -> SemanticFeatures:
        """The pyramid and the outputs of the semantic branch."""
        if self.semantic_head is None:
            return SemanticFeatures(features)
        return SemanticFeatures(features, *self.semantic_head(features))

    def loss(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> dict[str, Tensor]:
        """The losses of a cascade by stage, and ``loss_semantic_seg``."""
        losses, truth, features = {}, batch.truth, self.prepare(features)
        for stage, stage_weight in enumerate(self.stage_loss_weights):
            head, sampler = self.bbox_head[stage], self.region_sampler[stage]
            # 1. Sample the stage's proposals, classify them and regress their boxes.
            samples = sampler(proposals, truth, features, self.box_features, head)
            logits, deltas = head(self.box_features(features, samples.rois))
            stage_losses = box_losses(head, logits, deltas, samples)
            # 2. The regressed boxes are the next stage's proposals.
            sizes = batch.input_sizes
            proposals = next_proposals(head, samples, logits, deltas, sizes, self.convention)
            # 3. Interleaved: the mask head is trained on them, assigned and sampled again.
            if self.mask_head is not None:
                if self.interleaved:
                    samples = sampler(proposals, truth, features, self.box_features, head)
                positives = samples.positives(sampler.most_positives)
                rois, *targets = mask_samples(positives, truth, self.mask_size, self.convention)
                # Information flow: through the heads of all stages so far.
                first = 0 if self.mask_info_flow else stage
                *_, embedding = self._embeddings(features, rois, self.mask_head[first : stage + 1])
                mask_logits = self.mask_head[stage].logits(embedding)
                stage_losses['loss_mask'] = self.mask_head[stage].loss(mask_logits, *targets)
            losses |= {f's{stage}.{name}': stage_weight * x for name, x in stage_losses.items()}
        # 4. The semantic branch is trained on a map of all pixels.
        if self.semantic_head is not None:
            of_all = self.convention.semantic_mean_of_all
            semantic_loss = self.semantic_head.loss(features.logits, truth.semantic, of_all)
            losses['loss_semantic_seg'] = semantic_loss
        return losses

    def predict_boxes(
        self, features: SemanticFeatures, rois: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Class probabilities (R, K) and boxes (R, K or 1, 4) of ``rois`` (R, 5).

        ``sizes`` (R, 2) are the (h, w) of the regions' images.
        """
        extractor = self.box_features
        return cascade_boxes(self.bbox_head, extractor, features, rois, sizes, self.convention)

    def predict_masks(self, features: SemanticFeatures, rois: Tensor, labels: Tensor) -> Tensor:
        """Soft masks (R, m, m) of ``rois`` (R, 5) of these classes (R,): the mean over stages."""
        embeddings = self._embeddings(features, rois, self.mask_head)
        masks = [
            head.probabilities(head.logits(embedding), labels)
            for head, embedding in zip(self.mask_head, embeddings)
        ]
        return torch.stack(masks).mean(0)

    def _embeddings(
        self, features: SemanticFeatures, rois: Tensor, heads: nn.ModuleList
    ) -> Iterator[Tensor]:
        """The features (R, C, h, h) of each mask head, passed on to the next one."""
        # All heads see the same features of the regions; the embedding passes from head to head.
        regions, embedding = self.mask_features(features, rois), None
        for head in heads:
            embedding = head.embed(regions, embedding if self.mask_info_flow else None)
            yield embedding


def _mean_pooled(maps: Tensor, size: int) -> Tensor:
    """Maps (R, C, h, h) as the means of their cells (R, C, size, size)."""
    if maps.shape[-1] % size == 0:
        # The same as adaptive pooling, whose gradient is not deterministic on CUDA.
        return F.avg_pool2d(maps, maps.shape[-1] // size)
    return F.adaptive_avg_pool2d(maps, size)
