"""The region proposal network: classifies anchors as object or not and regresses their boxes.

Ren et al., Faster R-CNN (2015), in the feature-pyramid form of Lin et al., FPN (2017).

N images, L levels, A anchors of all levels (A_l of one), K candidates a level, S samples an image.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet import ops
from hrdet.boxes import AnchorGenerator, BoxConvention, DeltaCoder, clip_boxes
from hrdet.models.layers import init_convs
from hrdet.models.views import AugmentedView
from hrdet.ranges import Count, Integer, NotNegative, Number, Share
from hrdet.registry import register
from hrdet.structures import Batch, Proposals


@register()
@dataclass(frozen=True, slots=True)
class ProposalConfig:
    """Numbers of proposals: before and after NMS (per level), and in the end (per image).

    Below 1 ``nms_pre`` and ``nms_post`` mean all.  Sides of a proposal are at least (continuous
    boxes: more than) ``min_bbox_size``.  With ``nms_across_levels`` the proposals of all levels go
    through a second NMS together.
    """

    nms_pre: Integer
    nms_post: Integer
    max_num: Count
    nms_thr: Share
    min_bbox_size: NotNegative = 0
    nms_across_levels: bool = False


@dataclass(slots=True)
class RPNOutput:
    """Lists over levels: logits (N, A_l), deltas (N, A_l, 4) and anchors (A_l, 4)."""

    logits: list[Tensor]
    deltas: list[Tensor]
    anchors: list[Tensor]
    feature_sizes: list[tuple[int, int]]


@register()
class RPNHead(nn.Module):
    """Objectness and box deltas for every anchor of every level, with shared weights.

    Args:
        in_channels: channels of the feature maps.
        feat_channels: channels of the 3x3 convolution.
        allowed_border: anchors further than this outside the image are not trained on; below 0 all
            are.
        pos_weight: weight of a positive anchor in the classification loss; 1 if not above 0.
    """

    def __init__(
        self,
        in_channels: Count,
        feat_channels: Count,
        anchors: AnchorGenerator,
        coder: DeltaCoder,
        loss_cls: nn.Module,
        loss_bbox: nn.Module,
        convention: str,
        train_proposals: ProposalConfig | None = None,
        test_proposals: ProposalConfig | None = None,
        assigner=None,
        sampler=None,
        allowed_border: Number = 0,
        pos_weight: Number = -1,
    ) -> None:
        super().__init__()
        self.in_channels, self.strides = in_channels, anchors.strides
        self.anchors, self.coder = anchors, coder
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.convention = BoxConvention(convention)
        self.train_proposals, self.test_proposals = train_proposals, test_proposals
        self.assigner, self.sampler = assigner, sampler
        self.allowed_border = allowed_border
        self.pos_weight = pos_weight if pos_weight > 0 else 1.0
        # Shared by all levels: a 3x3 convolution, then 1x1 for scores and for deltas.
        self.rpn_conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(feat_channels, anchors.num_anchors, 1)
        self.rpn_reg = nn.Conv2d(feat_channels, anchors.num_anchors * 4, 1)
        init_convs(self, partial(nn.init.normal_, std=0.01))

    def forward(self, features: list[Tensor]) -> RPNOutput:
        """Logits and deltas of every anchor, float32 for features of any type."""
        logits, deltas = [], []
        for feature in features:
            hidden = F.relu(self.rpn_conv(feature), inplace=True)
            n = feature.shape[0]
            # Rows run over (y, x, anchor), the order of the anchor grid.
            logits.append(self.rpn_cls(hidden).float().permute(0, 2, 3, 1).reshape(n, -1))
            deltas.append(self.rpn_reg(hidden).float().permute(0, 2, 3, 1).reshape(n, -1, 4))
        sizes = [tuple(feature.shape[-2:]) for feature in features]
        return RPNOutput(logits, deltas, self.anchors.grid(sizes), sizes)

    def loss(self, out: RPNOutput, batch: Batch) -> dict[str, Tensor]:
        """``loss_rpn_cls`` and ``loss_rpn_bbox`` over a random sample of the anchors."""
        # 1. Assign all anchors (A, 4) to objects and sample S of each image.
        anchors = torch.cat(out.anchors)
        inside = self.anchors.inside(
            anchors, out.feature_sizes, batch.input_sizes, batch.padded_sizes, self.allowed_border
        )
        assignment = self.assigner(anchors, inside, batch.truth)
        samples = self.sampler.sample(assignment)
        # 2. Their outputs (N, S) and (N, S, 4), and the deltas from anchor to object (N, S, 4).
        logits = torch.cat(out.logits, 1).gather(1, samples.index)
        deltas = torch.cat(out.deltas, 1).take_along_dim(samples.index[..., None], 1)
        gt_boxes = batch.truth.boxes.take_along_dim(samples.gt_index[..., None], 1)
        targets = self.coder.encode(anchors[samples.index], gt_boxes)
        positive = samples.positive
        # Rows without an object have no target; the formula may give infinity for them.
        targets = torch.where(positive[..., None], targets, 0)
        # 3. Both losses are divided by the number of samples.  The 2019 release counts at least one
        #    positive and one negative in every image.
        weight = torch.where(positive, self.pos_weight, 1.0) * samples.valid
        negative = samples.valid & ~positive
        count = (positive.sum(1).clamp(min=1) + negative.sum(1).clamp(min=1)).sum()
        return {
            'loss_rpn_cls': self.loss_cls(logits, positive.float(), weight, count),
            'loss_rpn_bbox': self.loss_bbox(deltas, targets, positive[..., None].float(), count),
        }

    @torch.no_grad()
    def propose(self, out: RPNOutput, batch: Batch) -> Proposals:
        """The best boxes of each image, without duplicates; no gradient flows into them."""
        # 1. The K anchors of the highest scores of each level: (N, L, K).
        config = self.train_proposals if self.training else self.test_proposals
        candidates = max(logits.shape[1] for logits in out.logits)
        if config.nms_pre > 0:
            candidates = min(candidates, config.nms_pre)
        levels = [
            _top(logits.sigmoid(), deltas, anchors, candidates)
            for logits, deltas, anchors in zip(out.logits, out.deltas, out.anchors)
        ]
        scores = torch.stack([s for s, _, _ in levels], 1)
        deltas = torch.stack([d for _, d, _ in levels], 1)
        anchors = torch.stack([a for _, _, a in levels], 1)
        # 2. Their boxes (N, L, K, 4), clipped to the image; small ones are dropped (score -inf).
        sizes = batch.input_sizes[:, None, None]
        boxes = clip_boxes(self.coder.decode(anchors, deltas), sizes, self.convention)
        sides = (boxes[..., 2:] - boxes[..., :2]).amin(-1)
        exact = self.convention.min_size_stays
        large = sides >= config.min_bbox_size if exact else sides > config.min_bbox_size
        # 3. NMS within each level, then the best ``max_num`` of each image.
        return _suppress(boxes, scores.masked_fill(~large, -torch.inf), config)


def merge_proposals(
    per_view: list[Proposals], views: list[AugmentedView], config: ProposalConfig
) -> Proposals:
    """The best proposals of several views of N images, in pixels of the results.

    NMS (``nms_thr``) is applied to the proposals of all views together and keeps the best
    ``max_num``.  The 2019 release intended the same, but by mistake kept the first view's only.
    """
    # The proposals of all V views side by side, in pixels of the results: (N, V * P, 4).
    boxes = torch.cat([view.to_result(p.boxes) for p, view in zip(per_view, views)], 1)
    scores = torch.cat([p.scores for p in per_view], 1)
    boxes, scores = _nms(boxes, scores, config.nms_thr, config.max_num)
    return Proposals(boxes, scores, scores > -torch.inf)


def _top(scores: Tensor, deltas: Tensor, anchors: Tensor, count: int):
    """The ``count`` best rows of one level, padded with rows of score -inf."""
    # Coarse levels have fewer than K anchors; padded, all levels stack to (N, L, K).
    missing = max(0, count - scores.shape[1])
    scores, index = scores.topk(count - missing, dim=1)
    deltas, anchors = deltas.gather(1, index[..., None].expand(-1, -1, 4)), anchors[index]
    return (
        F.pad(scores, (0, missing), value=-torch.inf),
        F.pad(deltas, (0, 0, 0, missing)),
        F.pad(anchors, (0, 0, 0, missing)),
    )


def _suppress(boxes: Tensor, scores: Tensor, config: ProposalConfig) -> Proposals:
    """NMS of (N, L, K) candidates within their level, then the best ``max_num`` of an image."""
    # 1. NMS of N * L independent sets of K boxes, then the levels of an image side by side: (N, L *
    #    limit).
    n, _, k = scores.shape
    limit = config.nms_post if config.nms_post > 0 else k
    boxes, scores = _nms(boxes.flatten(0, 1), scores.flatten(0, 1), config.nms_thr, limit)
    boxes, scores = boxes.reshape(n, -1, 4), scores.reshape(n, -1)
    # 2. The best ``max_num`` of an image, after a second NMS or by score alone.
    if config.nms_across_levels:
        boxes, scores = _nms(boxes, scores, config.nms_thr, config.max_num)
    else:
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        scores, order = scores[:, : config.max_num], order[:, : config.max_num]
        boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Proposals(boxes, scores, scores > -torch.inf)


def _nms(boxes: Tensor, scores: Tensor, iou_thr: float, limit: int) -> tuple[Tensor, Tensor]:
    """NMS of B sets of M boxes: (B, limit), best first, with score -inf where none is left."""
    index, valid = ops.nms(boxes, scores, iou_thr, limit)
    boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))
    return boxes, scores.gather(1, index).masked_fill(~valid, -torch.inf)
