"""The head of FCOS (Tian et al. 2019): class, box and centre-ness at every point.

N images, L levels, P points of all levels (P_l of one), K classes, C candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hrdet.boxes import (
    BoxConvention,
    centerness,
    clip_boxes,
    decode_distances,
    encode_distances,
    grid_points,
    per_point,
)
from hrdet.losses import mean_over_processes
from hrdet.matching import assign_points
from hrdet.models.layers import NormCfg, conv_tower, init_convs
from hrdet.models.multiclass_nms import NMS, SoftNMS, multiclass_nms
from hrdet.models.views import AugmentedView
from hrdet.ranges import (
    Count,
    Counts,
    Integer,
    Limit,
    Natural,
    NotNegative,
    Number,
    Positive,
    UpToOne,
)
from hrdet.registry import register
from hrdet.structures import GroundTruth

# Largest logarithm of a predicted distance in pixels: e^88 and its gradient overflow float32.
# The loss does not change: for a box of e^30 pixels -log IoU is at its largest, where it is flat.
_LARGEST_LOG = 30.0


@dataclass(slots=True)
class FCOSOutput:
    """Lists over levels: class logits (N, P_l, K), logarithms of the distances to the sides of the
    box (N, P_l, 4), centre-ness logits (N, P_l), points (P_l, 2)."""

    logits: list[Tensor]
    log_distances: list[Tensor]
    centerness: list[Tensor]
    points: list[Tensor]
    feature_sizes: tuple[tuple[int, int], ...]


class Scale(nn.Module):
    """One trained factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.scale


@register()
class FCOSHead(nn.Module):
    """Two towers of convolutions, shared by all levels.

    The conventions differ in more than the meaning of boxes, because the releases behind them do:

    ================  ====================================  ====================================
    ..                inclusive (mmdetection 1)             continuous (mmdetection 2 and 3)
    ================  ====================================  ====================================
    losses' divisors  of each process                       means over all processes
    ``loss_cls`` by   positives + images                    positives
    candidates        the ``nms_pre`` best points a level,  the ``nms_pre`` best pairs of point
                      by class score times centre-ness      and class a level, by class score
    ``min_bbox_size`` unused                                both sides of a result are larger
    ================  ====================================  ====================================

    Args:
        num_classes: K.
        strides: input pixels per feature pixel of each level.
        regress_ranges: of each level, least and largest distance to an object's furthest side.
        center_sampling: only points near an object's centre are assigned to it ...
        center_sample_radius: ... this near, in strides of their level.
        norm_cfg: norm of the towers.
        nms_pre: candidates a level; all if not above 0.
        score_thr: class scores, before centre-ness, must be above it.
        max_per_img: detections an image at most; below 0 all.
    """

    float32_layers = ('conv_cls', 'conv_reg', 'conv_centerness')  # in optimized models too

    def __init__(
        self,
        num_classes: Count,
        in_channels: Count,
        strides: Counts,
        regress_ranges: Sequence[tuple[Number, Number]],
        loss_cls: nn.Module,
        loss_bbox: nn.Module,
        loss_centerness: nn.Module,
        convention: str,
        norm_cfg: NormCfg | None,
        stacked_convs: Natural = 4,
        feat_channels: Count = 256,
        center_sampling: bool = False,
        center_sample_radius: Positive = 1.5,
        nms_pre: Integer = 1000,
        min_bbox_size: NotNegative = 0,
        score_thr: UpToOne = 0.05,
        nms: NMS | SoftNMS = NMS(0.5),
        max_per_img: Limit = 100,
    ) -> None:
        super().__init__()
        if len(regress_ranges) != len(strides):
            raise ValueError(
                f'{len(regress_ranges)} regress_ranges for {len(strides)} strides: '
                f'each level needs one'
            )
        self.num_classes, self.strides = num_classes, tuple(strides)
        self.in_channels = in_channels
        self.regress_ranges = tuple(map(tuple, regress_ranges))
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.loss_centerness = loss_centerness
        self.convention = BoxConvention(convention)
        self.center_sample_radius = center_sample_radius if center_sampling else None
        self.nms_pre, self.min_bbox_size = nms_pre, min_bbox_size
        self.score_thr, self.nms, self.max_per_img = score_thr, nms, max_per_img
        widths = [in_channels] + [feat_channels] * stacked_convs
        self.cls_convs = conv_tower(widths, 3, norm_cfg)
        self.reg_convs = conv_tower(widths, 3, norm_cfg)
        self.conv_cls = nn.Conv2d(widths[-1], num_classes, 3, padding=1)
        self.conv_reg = nn.Conv2d(widths[-1], 4, 3, padding=1)
        self.conv_centerness = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        init_convs(self, partial(nn.init.normal_, std=0.01))
        # At first every class has a probability of 0.01 (Lin et al. 2017, section 3.3).
        nn.init.constant_(self.conv_cls.bias, -math.log(99))

    def forward(self, features: list[Tensor]) -> FCOSOutput:
        """Outputs at every point, float32 for features of any type."""
        if len(features) != len(self.strides):
            raise ValueError(f'{len(features)} feature maps for {len(self.strides)} strides')
        logits, log_distances, centre_logits = [], [], []
        for feature, scale in zip(features, self.scales):
            # Centre-ness shares the tower of the classes, as in mmdetection 1.
            hidden = self.cls_convs(feature)
            logits.append(_rows(self.conv_cls(hidden)))
            centre_logits.append(_rows(self.conv_centerness(hidden)).squeeze(-1))
            log_distances.append(scale(_rows(self.conv_reg(self.reg_convs(feature)))))
        sizes = tuple(tuple(feature.shape[-2:]) for feature in features)
        # Points (P, 2) in the order of the rows: level by level, row by row.
        points = grid_points(self.strides, sizes, self.convention, features[0].device)
        points = list(points.split([h * w for h, w in sizes]))
        return FCOSOutput(logits, log_distances, centre_logits, points, sizes)

    def loss(self, out: FCOSOutput, truth: GroundTruth) -> dict[str, Tensor]:
        """``loss_cls`` over all points, ``loss_bbox`` and ``loss_centerness`` over positives."""
        # 1. Assign points to objects: each point's row and label (N, P) and distances (N, P, 4).
        points = torch.cat(out.points)
        gt_index = self._assign(points, out.feature_sizes, truth)
        positive, gt_index = gt_index >= 0, gt_index.clamp(min=0)
        labels = torch.where(positive, truth.labels.gather(1, gt_index), self.num_classes)
        boxes = truth.boxes.take_along_dim(gt_index[..., None], 1)
        distances = encode_distances(points, boxes, self.convention)
        # 2. Other points get a perfect box, lest something infinite be multiplied by weight 0.
        distances = torch.where(positive[..., None], distances, 1.0)
        logs = torch.where(positive[..., None], torch.cat(out.log_distances, 1), 0.0)
        # 3. Centre-ness (N, P) weights the box loss and is a target itself.
        central = centerness(distances)
        weight = positive.float()
        class_sum, centre_sum, box_sum = self._divisors(weight, central)
        return {
            'loss_cls': self.loss_cls(torch.cat(out.logits, 1), labels, None, class_sum),
            'loss_bbox': self.loss_bbox(
                decode_distances(points, logs.clamp(max=_LARGEST_LOG).exp(), self.convention),
                decode_distances(points, distances, self.convention),
                weight * central,
                box_sum,
            ),
            'loss_centerness': self.loss_centerness(
                torch.cat(out.centerness, 1), central, weight, centre_sum
            ),
        }

    @torch.no_grad()
    def candidates(self, features: list[Tensor], view: AugmentedView) -> tuple[Tensor, Tensor]:
        """The best points of every level: boxes (N, C, 4) in result pixels, scores (N, C, K).

        A score is -inf where the class score is not above ``score_thr``.
        """
        out = self(features)
        levels = zip(out.logits, out.log_distances, out.centerness, out.points)
        boxes, scores = zip(*(self._candidates_per_level(*level) for level in levels))
        boxes = clip_boxes(torch.cat(boxes, 1), view.sizes[:, None], self.convention)
        return view.to_result(boxes), torch.cat(scores, 1)

    def select(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``multiclass_nms`` of the candidates, of one view or of several together."""
        if self.convention.fcos_candidate_pairs:
            # Boxes (N, C, 4) in result pixels.
            large = (boxes[..., 2:] - boxes[..., :2]).amin(-1) > self.min_bbox_size
            scores = scores.masked_fill(~large[..., None], -torch.inf)
        # One box for all classes of a point: (N, C, 1, 4).
        boxes = boxes[:, :, None]
        # ``score_thr`` was applied to class scores; times centre-ness they may be lower.
        return multiclass_nms(boxes, scores, -torch.inf, self.nms, self.max_per_img)

    def _assign(self, points: Tensor, feature_sizes, truth: GroundTruth) -> Tensor:
        # Range of distances (P, 2), and sampling radius (P, 1), of each point's level.
        levels = feature_sizes, points.device
        ranges = torch.cat([per_point(limits, *levels) for limits in zip(*self.regress_ranges)], 1)
        radius = None
        if self.center_sample_radius is not None:
            radius = per_point(self.strides, *levels) * self.center_sample_radius
        return assign_points(points, ranges, truth, self.convention, radius)

    def _divisors(self, positive: Tensor, central: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the class loss, of centre-ness, and of the boxes: from (N, P) each."""
        count, total = positive.sum(), (positive * central).sum()
        if self.convention.fcos_global_divisors:
            count, total = mean_over_processes(torch.stack([count, total])).unbind()
            of_classes = count.clamp(min=1)
        else:
            # mmdetection 1 adds the number of images N; then the divisor is above 0.
            of_classes = count + positive.shape[0]
        return of_classes, count.clamp(min=1), total.clamp(min=1e-6)

    def _candidates_per_level(
        self, logits: Tensor, log_distances: Tensor, centre_logits: Tensor, points: Tensor
    ) -> tuple[Tensor, Tensor]:
        classes, central = logits.sigmoid(), centre_logits.sigmoid()[..., None]
        # 1. Which pairs of point and class score enough, (N, P_l, K).
        above = classes > self.score_thr
        # 2. Rank points by their best class; of pairs only the ``nms_pre`` best remain candidates.
        count = self.nms_pre if self.nms_pre > 0 else classes[0].numel()
        if not self.convention.fcos_candidate_pairs:
            rank = (classes * central).amax(-1)
        else:
            pairs = torch.where(above, classes, -torch.inf)
            least = pairs.flatten(1).topk(min(count, pairs[0].numel())).values[:, -1]
            above &= classes >= least[:, None, None]
            rank = pairs.amax(-1)
        # Points in the padding have equal scores; a stable sort orders them as NMS does.
        index = rank.sort(dim=1, descending=True, stable=True).indices[:, :count]
        # 3. Boxes and scores of the C best points.
        boxes = decode_distances(
            points[index],
            log_distances.gather(1, index[..., None].expand(-1, -1, 4)).exp(),
            self.convention,
        )
        scores = torch.where(above, classes * central, -torch.inf)
        return boxes, scores.gather(1, index[..., None].expand(-1, -1, scores.shape[-1]))


def _rows(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) as float32 rows (N, h * w, C)."""
    return maps.float().flatten(2).mT
