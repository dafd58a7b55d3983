"""The head of FCN-HRNet: a class for every pixel from all branches.

N images, K classes.  Source of names and defaults: mmsegmentation's FCNHead.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.losses.accuracy import pixel_accuracy
from hrdet.losses.cross_entropy import hard_pixels, pixel_cross_entropy
from hrdet.models.layers import NormCfg, conv_module
from hrdet.models.layers.resize import resize_concat, resize_concat_conv
from hrdet.ranges import Count, Counts, Natural, NotNegative, UpToOne
from hrdet.registry import register
from hrdet.structures.truth import SEMANTIC_IGNORE


@register()
class FCNHead(nn.Module):
    """Branches resized to the finest one, concatenated, convolved and classified by a 1x1 layer.

    Args:
        num_classes: K.
        in_channels: channels of the branches, finest first.
        channels: of the convolutions.
        num_convs: convolutions before the classifying one; each has a norm and a ReLU.
        kernel_size: of these convolutions.
        concat_input: convolve their output together with their input once more.
        dropout_ratio: of whole channels before the classifying layer.
        norm_cfg: kind of norm layers.
        class_weight: (K,), a factor of each pixel's loss by its label.
        avg_class_weight: with ``class_weight``, divide by the sum of the pixels' weights instead of
            their number (mmsegmentation 1.x).
        avg_non_ignore: average the loss over the pixels that are not ignored; by default over all,
            as the published models were trained.
        hard_pixel_mining: arguments of ``hard_pixels`` (OHEM): train on the hardest pixels only.
    """

    float32_layers = ('conv_seg',)  # in optimized models too

    def __init__(
        self,
        num_classes: Count,
        in_channels: Counts,
        channels: Count,
        num_convs: Natural = 2,
        kernel_size: Count = 3,
        concat_input: bool = True,
        dropout_ratio: UpToOne = 0.1,
        norm_cfg: NormCfg | Mapping = MappingProxyType({'type': 'BN'}),
        loss_weight: NotNegative = 1.0,
        class_weight: Sequence[NotNegative] | None = None,
        avg_class_weight: bool = False,
        avg_non_ignore: bool = False,
        hard_pixel_mining: Mapping | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= num_classes <= SEMANTIC_IGNORE:
            raise ValueError(f'num_classes must be 1 to {SEMANTIC_IGNORE}, not {num_classes}')
        if num_convs < 1:
            raise ValueError(f'num_convs must be at least 1, not {num_convs}')
        self.num_classes, self.in_channels = num_classes, list(in_channels)
        self.loss_weight = loss_weight
        self.avg_non_ignore, self.avg_class_weight = avg_non_ignore, avg_class_weight
        self.hard_pixel_mining = None if hard_pixel_mining is None else dict(hard_pixel_mining)
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        if weight is not None and len(weight) != num_classes:
            raise ValueError(f'class_weight has {len(weight)} numbers for {num_classes} classes')
        self.register_buffer('class_weight', weight, persistent=False)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)  # first, as in published checkpoints
        # Input channels of the convolutions: all branches, then ``channels``.
        widths = [sum(self.in_channels)] + [channels] * (num_convs - 1)
        self.convs = nn.Sequential(
            *(conv_module(width, channels, kernel_size, norm_cfg=norm_cfg) for width in widths)
        )
        self.conv_cat = None
        if concat_input:
            both = sum(self.in_channels) + channels
            self.conv_cat = conv_module(both, channels, kernel_size, norm_cfg=norm_cfg)
        self.dropout = nn.Dropout2d(dropout_ratio) if dropout_ratio > 0 else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (N, C_i, h_i, w_i), finest first, to logits (N, K, h, w) of the finest one."""
        first = self.convs[0]
        if self.conv_cat is None and first.conv.kernel_size == (1, 1):
            # A 1x1 convolution commutes with resizing, and the concatenated map is never made.
            x = self.convs[1:](self._merge(features))
        else:
            # All branches at the finest resolution: (N, sum of all C_i, h, w).
            merged = resize_concat(features)
            x = self.convs(merged)
            if self.conv_cat is not None:
                x = self.conv_cat(torch.cat([merged, x], dim=1))
        return self.conv_seg(self.dropout(x))

    def _merge(self, features: Sequence[Tensor]) -> Tensor:
        """The first convolution, of 1x1, with norm and ReLU: (N, channels, h, w)."""
        first = self.convs[0]
        return first[1:](resize_concat_conv(features, first.conv))

    def loss(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy of logits (N, K, h, w), resized to the labels (N, H, W) uint8.

        Beside it the accuracy of the pixels in percent.
        """
        # 1. Logits at the size of the labels: (N, K, H, W).
        logits = F.interpolate(
            logits.float(), size=labels.shape[1:], mode='bilinear', align_corners=False
        )
        # 2. With mining, weights (N, H, W) of 1 for the hardest pixels and 0 for the others.
        hard = None
        if self.hard_pixel_mining is not None:
            hard = hard_pixels(logits, labels, **self.hard_pixel_mining)
        loss = pixel_cross_entropy(
            logits,
            labels,
            SEMANTIC_IGNORE,
            self.class_weight,
            hard,
            avg_non_ignore=self.avg_non_ignore,
            avg_class_weight=self.avg_class_weight,
        )
        return {'loss_ce': self.loss_weight * loss, 'acc_seg': pixel_accuracy(logits, labels)}
