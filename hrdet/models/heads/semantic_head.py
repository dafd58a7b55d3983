"""The semantic branch of HTC: a class for every pixel.

N images, C semantic classes, D channels of the embedding.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.layers import NormCfg, conv_module, conv_tower, init_convs
from hrdet.ranges import Count, Label, Natural, NotNegative
from hrdet.registry import register


@register()
class FusedSemanticHead(nn.Module):
    """Semantic segmentation from all pyramid levels, fused at one (HTC, Chen et al. 2019, fig. 4).

    Args:
        semantic_classes: C.
        num_ins: levels of the pyramid.
        fusion_level: the level whose size the output has; 1 is stride 8.
        ignore_label: pixels of this value do not train.
        norm_cfg: norm after each convolution, in place of its bias.
    """

    def __init__(
        self,
        semantic_classes: Count,
        num_ins: Count = 5,
        fusion_level: Natural = 1,
        num_convs: Natural = 4,
        in_channels: Count = 256,
        conv_out_channels: Count = 256,
        ignore_label: Label = 255,
        loss_weight: NotNegative = 0.2,
        norm_cfg: NormCfg | None = None,
    ) -> None:
        super().__init__()
        if fusion_level >= num_ins:
            raise ValueError(f'fusion_level={fusion_level}, but there are {num_ins} levels from 0')
        self.in_channels, self.num_ins, self.fusion_level = in_channels, num_ins, fusion_level
        self.out_channels = conv_out_channels
        self.ignore_label, self.loss_weight = ignore_label, loss_weight
        self.lateral_convs = nn.ModuleList(
            conv_module(in_channels, in_channels, 1, norm_cfg=norm_cfg) for _ in range(num_ins)
        )
        # ``num_convs`` shared convolutions, then one layer each for the embedding and the logits.
        widths = [in_channels] + [conv_out_channels] * num_convs
        self.convs = conv_tower(widths, 3, norm_cfg)
        self.conv_embedding = conv_module(widths[-1], conv_out_channels, 1, norm_cfg=norm_cfg)
        self.conv_logits = nn.Conv2d(widths[-1], semantic_classes, 1)
        init_convs(self)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Levels, finest first, to float32 logits (N, C, h, w) and an embedding (N, D, h, w).

        (h, w) is the size of the level ``fusion_level``.
        """
        size = features[self.fusion_level].shape[-2:]
        # 1. All levels at the size of one, summed: (N, channels, h, w).
        fused = self.lateral_convs[self.fusion_level](features[self.fusion_level])
        for level, (feature, lateral) in enumerate(zip(features, self.lateral_convs)):
            if level != self.fusion_level:
                resized = F.interpolate(feature, size=size, mode='bilinear', align_corners=True)
                fused = fused + lateral(resized)
        # 2. Convolutions shared by both outputs.
        fused = self.convs(fused)
        return self.conv_logits(fused).float(), self.conv_embedding(fused)

    def loss(self, logits: Tensor, semantic: Tensor, of_all: bool = False) -> Tensor:
        """Mean cross entropy of the pixels that have a class; 0, still connected, without any.

        Args:
            logits: (N, C, h, w), from ``forward``.
            semantic: (N, h, w) uint8 classes, ``ignore_label`` for unlabelled pixels.
            of_all: divide by the number of all pixels, with a class or not, as mmdetection 3 does.

        Raises:
            ValueError: the map has another size than the logits.
        """
        if semantic.shape[1:] != logits.shape[2:]:
            raise ValueError(
                f'the semantic maps are {tuple(semantic.shape[1:])} pixels (h, w), the output of '
                f'the semantic head is {tuple(logits.shape[2:])}: scale the maps to the stride of '
                'fusion_level (SegRescale, or data.train.semantic_scale_factor=1/8 for stride 8) '
                'and pad images to multiples of 32 (size_divisor=32)'
            )
        # Losses (N, h, w), 0 where ignored.
        target = semantic.long()
        # Summed here because the sum inside cross_entropy is not deterministic on CUDA.
        losses = F.cross_entropy(logits, target, ignore_index=self.ignore_label, reduction='none')
        count = target.numel() if of_all else (target != self.ignore_label).sum().clamp(min=1)
        return self.loss_weight * losses.sum() / count
