"""What the second stages share: mask losses, and prediction from one view or several.

N images, P proposals, R regions of all images, D detections, K classes, m: edge of a mask.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hrdet import ops
from hrdet.boxes import BoxConvention, clip_boxes
from hrdet.models.multiclass_nms import NMS, SoftNMS, multiclass_nms, split_detections
from hrdet.models.roi.extractor import SingleRoIExtractor, batch_rois, on_valid_rows, valid_rows
from hrdet.models.roi.mask_targets import mask_targets
from hrdet.models.roi.sampling import Regions, RegionSampler
from hrdet.models.views import View
from hrdet.structures import Detections, GroundTruth, Proposals


class RoIHead(nn.Module):
    """The second stage of a two-stage detector.

    A kind of head defines ``loss``, ``refine`` and ``mask_probabilities``, and may add to the
    features of a region.

    Args:
        score_thr: detections must score more.
        max_per_img: detections an image at most; below 0 all.
        mask_size: edge of a mask's map, that of the mask head's output.
        mask_thr_binary: a pixel belongs to an object above (or, with continuous boxes, from) it.
    """

    mask_head: nn.Module | None  # set by the kinds of heads

    def __init__(
        self,
        bbox_roi_extractor: SingleRoIExtractor,
        convention: str,
        score_thr: float = 0.05,
        nms: NMS | SoftNMS = NMS(0.5),
        max_per_img: int = 100,
        mask_roi_extractor: SingleRoIExtractor | None = None,
        mask_size: int = 28,
        mask_thr_binary: float = 0.5,
    ) -> None:
        super().__init__()
        self.bbox_roi_extractor, self.mask_roi_extractor = bbox_roi_extractor, mask_roi_extractor
        self.convention = BoxConvention(convention)
        self.score_thr, self.nms, self.max_per_img = score_thr, nms, max_per_img
        self.mask_size, self.mask_thr_binary = mask_size, mask_thr_binary

    def maps(self, features: list[Tensor]) -> Any:
        """What regions are cut from: the pyramid (N, C, h, w), and what a kind of head adds."""
        return features

    def box_features(self, maps: Any, rois: Tensor) -> Tensor:
        """Features of regions (R, 5) for the box head."""
        return self.bbox_roi_extractor(maps, rois)

    def mask_features(self, maps: Any, rois: Tensor) -> Tensor:
        """Features of regions (R, 5) for the mask head."""
        return self.mask_roi_extractor(maps, rois)

    def refine(self, maps: Any, rois: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities (R, K) and boxes (R, K or 1, 4) of regions in images of ``sizes``."""
        raise NotImplementedError

    def mask_probabilities(self, maps: Any, rois: Tensor, labels: Tensor) -> Tensor:
        """Soft masks (R, m, m) of regions (R, 5) of these classes (R,)."""
        raise NotImplementedError

    def sample(
        self, sampler: RegionSampler, head, box_of, proposals: Proposals, truth: GroundTruth
    ) -> Regions:
        """Regions for ``head`` to learn from; ``box_of(rois)`` are its logits and deltas."""

        def hardness(proposals: Proposals, labels: Tensor) -> Tensor:
            rois = batch_rois(proposals.boxes, proposals.valid)
            logits, _ = on_valid_rows(box_of, rois)
            return head.loss_cls.elements(logits, labels.flatten()).view_as(labels)

        return sampler(proposals, truth, head.num_classes, hardness)

    def box_loss(
        self, head, box_of, regions: Regions
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """``loss_cls`` and ``loss_bbox`` of ``head``, and its logits and deltas (N * S, ...)."""
        rois = batch_rois(regions.boxes, regions.weight > 0)
        logits, deltas = on_valid_rows(box_of, rois)
        targets = head.coder.encode(regions.boxes, regions.gt_boxes).flatten(0, 1)
        labels, weight = regions.labels.flatten(), regions.weight.flatten()
        return head.loss(logits, deltas, labels, targets, weight), (logits, deltas)

    def mask_loss(
        self, head, logits_of, sampler: RegionSampler, regions: Regions, truth: GroundTruth
    ) -> Tensor:
        """The loss of ``head`` on the positives; ``logits_of(rois)`` is (R, K or 1, m, m)."""
        if truth.masks is None:
            raise ValueError('the mask head has no masks to learn from: data.train.with_mask=True')
        found = regions.positives(sampler.most_positives)
        rois = batch_rois(found.boxes, found.positive)
        targets = mask_targets(
            truth.masks, found.boxes, found.gt_index, self.mask_size, self.convention
        )
        rois, targets, labels, weight = valid_rows(
            rois, targets.flatten(0, 1), found.labels.flatten(), found.positive.flatten()
        )
        return head.loss(logits_of(rois), targets, labels, weight.float())

    def predict(self, views: list[View], proposals: list[Proposals]) -> list[Detections]:
        """The objects of each image, in result pixels.

        Args:
            views: forms of the same images; boxes, scores and masks are averaged over them.
            proposals: the same regions in the pixels of each view.
        """
        maps = [self.maps(view.features) for view in views]
        seen = [self._see(*one) for one in zip(maps, views, proposals, strict=True)]
        boxes, scores = (_mean(values) for values in zip(*seen))
        boxes, scores, labels, counts = multiclass_nms(
            boxes, scores, self.score_thr, self.nms, self.max_per_img
        )
        found = split_detections(boxes, scores, labels, counts)
        if self.mask_head is None:
            return found
        valid = torch.arange(scores.shape[1], device=scores.device) < counts[:, None]
        masks = _mean([self._paint(m, v, boxes, labels, valid) for m, v in zip(maps, views)])
        return self._with_masks(found, masks.cpu(), views[0].result_sizes)

    def _see(self, maps: Any, view: View, proposals: Proposals) -> tuple[Tensor, Tensor]:
        """Boxes (N, P, K or 1, 4) in result pixels and scores (N, P, K) from one view.

        The suppression works on result pixels, as in the releases: overlaps of inclusive boxes
        depend on the scale.
        """
        n, p = proposals.valid.shape
        rois = batch_rois(proposals.boxes, proposals.valid)
        scores, boxes = on_valid_rows(
            lambda r: self.refine(maps, r, view.sizes[r[:, 0].long()]), rois
        )
        scores = scores.unflatten(0, (n, p)).masked_fill(~proposals.valid[..., None], -torch.inf)
        boxes = clip_boxes(boxes.unflatten(0, (n, p)), view.sizes[:, None, None], self.convention)
        return view.to_result(boxes), scores

    def _paint(self, maps: Any, view: View, boxes: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """Soft masks (N, D, m, m) of detections, from one view, upright."""
        rois = batch_rois(view.from_result(boxes), valid)
        (masks,) = on_valid_rows(
            lambda r, c: (self.mask_probabilities(maps, r, c),), rois, labels.flatten()
        )
        masks = masks.unflatten(0, valid.shape)
        return torch.where(view.flipped[:, None, None, None], masks.flip(-1), masks)

    def _with_masks(
        self, found: list[Detections], masks: Tensor, sizes: list[tuple[int, int]]
    ) -> list[Detections]:
        counts = [len(detections) for detections in found]
        encoded = ops.encode_masks(
            torch.cat([rows[:count] for rows, count in zip(masks, counts)]),
            torch.cat([detections.boxes for detections in found]),
            torch.tensor(sizes).repeat_interleave(torch.tensor(counts), 0),
            self.mask_thr_binary,
            self.convention.whole_pixel_masks,
        )
        ends = torch.tensor(counts).cumsum(0).tolist()
        return [
            replace(detections, masks=encoded[end - count : end])
            for detections, count, end in zip(found, counts, ends)
        ]


def check_mask_size(mask_size: int, extractor: SingleRoIExtractor, head: Any) -> None:
    """Raise a ValueError unless the targets have the size of the mask head's maps."""
    made = extractor.out_size * head.upsample_ratio
    if mask_size != made:
        raise ValueError(
            f'mask_size={mask_size}, but the mask head makes maps of {made}: '
            f'{extractor.out_size} (mask_roi_extractor) times {head.upsample_ratio} '
            f'(upsample_ratio); write mask_size={made}'
        )


def _mean(values) -> Tensor:
    values = list(values)
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)
