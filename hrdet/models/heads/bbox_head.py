"""The box head of Faster R-CNN: classifies regions and regresses their boxes.

R regions, K classes, background = K.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.boxes import DeltaCoder
from hrdet.ranges import Count, Natural
from hrdet.registry import register


@register()
class SharedFCBBoxHead(nn.Module):
    """Fully connected layers shared by a classifier and a box regressor (FPN, Lin et al. 2017).

    Args:
        num_classes: K, without the background.
        reg_class_agnostic: one box a region instead of one for each class.
    """

    float32_layers = ('fc_cls', 'fc_reg')  # in optimized models too

    def __init__(
        self,
        num_classes: Count,
        coder: DeltaCoder,
        loss_cls: nn.Module,
        loss_bbox: nn.Module,
        num_fcs: Natural = 2,
        in_channels: Count = 256,
        fc_out_channels: Count = 1024,
        roi_feat_size: Count = 7,
        reg_class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes, self.coder = num_classes, coder
        self.in_channels, self.roi_feat_size = in_channels, roi_feat_size
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.reg_class_agnostic = reg_class_agnostic
        widths = [in_channels * roi_feat_size**2] + [fc_out_channels] * num_fcs
        self.shared_fcs = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(widths))
        self.fc_cls = nn.Linear(widths[-1], num_classes + 1)
        self.fc_reg = nn.Linear(widths[-1], 4 if reg_class_agnostic else 4 * num_classes)
        for layer in self.shared_fcs:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        # At first classes are equally likely and boxes hardly move (Fast R-CNN, section 2.3).
        for layer, std in ((self.fc_cls, 0.01), (self.fc_reg, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Features (R, C, h, w) to class logits (R, K + 1) and deltas (R, K or 1, 4), float32."""
        hidden = regions.flatten(1)
        for layer in self.shared_fcs:
            hidden = F.relu(layer(hidden))
        return self.fc_cls(hidden).float(), self.fc_reg(hidden).float().unflatten(1, (-1, 4))

    def loss(
        self, logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor, weight: Tensor
    ) -> dict[str, Tensor]:
        """``loss_cls`` and ``loss_bbox`` of sampled regions.

        Args:
            logits: (R, K + 1), from ``forward``.
            deltas: (R, K or 1, 4), from ``forward``.
            labels: (R,) classes, background = K.
            targets: (R, 4) encoded boxes; used where a region is not background.
            weight: (R,) classification weights, 0 in rows of padding.
        """
        # 1. Rows (R,) that train the regressor; both losses are divided by the number of all
        #    samples.
        positive = (labels < self.num_classes) & (weight > 0)
        count = (weight > 0).sum().clamp(min=1)
        # 2. Of each region the deltas of its class, and the target where there is one: (R, 4) each.
        deltas = self._of_class(deltas, labels)  # (R, 4); background rows: any, their weight is 0
        targets = torch.where(positive[:, None], targets, 0)
        return {
            'loss_cls': self.loss_cls(logits, labels, weight, count),
            'loss_bbox': self.loss_bbox(deltas, targets, positive[:, None].float(), count),
        }

    def decode(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """Boxes (R, 4) moved by deltas (R, C, 4): (R, C, 4)."""
        return self.coder.decode(boxes[:, None], deltas)

    def regress_by_class(
        self, boxes: Tensor, logits: Tensor, deltas: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Boxes (R, 4) moved by the deltas of their class in ``labels`` (R,).

        Without labels, and where a label is background, the class of the highest logit decides.
        """
        # The last column is background, which has no deltas.
        likeliest = logits[:, :-1].argmax(1)
        if labels is not None:
            likeliest = torch.where(labels < self.num_classes, labels, likeliest)
        return self.coder.decode(boxes, self._of_class(deltas, likeliest))

    step = regress_by_class  # its earlier name

    def _of_class(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """Rows (R, 4) of deltas (R, K or 1, 4)."""
        # A class-agnostic head has one column, which all labels take.
        column = labels.clamp(max=deltas.shape[1] - 1)
        return deltas.gather(1, column[:, None, None].expand(-1, 1, 4)).squeeze(1)


def class_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Softmax of the mean logits of one or several heads (R, K + 1), without the background."""
    return torch.stack(list(logits)).mean(0).softmax(1)[:, :-1]
