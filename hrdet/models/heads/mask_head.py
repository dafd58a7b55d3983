"""The mask heads of Mask R-CNN and HTC: which pixels of a region belong to its object.

R regions, K classes, C channels; maps of 14x14 in, masks of 28x28 out, at the usual sizes.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.layers import NormCfg, conv_module, conv_tower, init_convs
from hrdet.ranges import Count, Natural
from hrdet.registry import register


@register()
class FCNMaskHead(nn.Module):
    """Convolutions, a deconvolution, and one mask for each class (Mask R-CNN, He et al. 2017).

    Args:
        num_classes: K, without the background.
        loss_mask: binary cross entropy of logits and masks.
        num_convs: convolutions before the deconvolution.
        upsample_ratio: size of a mask over the size of its region's features.
        class_agnostic: one mask a region instead of one for each class.
        norm_cfg: norm after each convolution, in place of its bias.
    """

    def __init__(
        self,
        num_classes: Count,
        loss_mask: nn.Module,
        num_convs: Natural = 4,
        in_channels: Count = 256,
        conv_kernel_size: Count = 3,
        conv_out_channels: Count = 256,
        upsample_ratio: Count = 2,
        class_agnostic: bool = False,
        norm_cfg: NormCfg | None = None,
    ) -> None:
        super().__init__()
        self.loss_mask, self.class_agnostic = loss_mask, class_agnostic
        self.in_channels, self.upsample_ratio = in_channels, upsample_ratio
        # The deconvolution follows ``num_convs`` convolutions, and takes their width.
        widths = [in_channels] + [conv_out_channels] * num_convs
        self.convs = conv_tower(widths, conv_kernel_size, norm_cfg)
        self.upsample = nn.ConvTranspose2d(
            widths[-1], conv_out_channels, upsample_ratio, stride=upsample_ratio
        )
        self.conv_logits = nn.Conv2d(conv_out_channels, 1 if class_agnostic else num_classes, 1)
        init_convs(self)

    def forward(self, features: Tensor) -> Tensor:
        """Features (R, C, 14, 14) to logits (R, K or 1, 28, 28), float32."""
        return self.logits(self.embed(features))

    def embed(self, features: Tensor) -> Tensor:
        """The convolutions' output for features (R, C, 14, 14), of the same size."""
        return self.convs(features)

    def logits(self, embedding: Tensor) -> Tensor:
        """From ``embed`` to logits (R, K or 1, 28, 28), float32."""
        return self.conv_logits(F.relu(self.upsample(embedding))).float()

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        """The mean loss of the pixels of all regions with an object, in the object's channel.

        Without such a region it is 0, still connected to the logits.

        Args:
            logits: (R, K or 1, 28, 28), from ``forward``.
            targets: (R, 28, 28) masks of 0 and 1; used where the weight is above 0.
            labels: (R,) classes of the objects.
            weight: (R,) above 0 in rows that hold an object.
        """
        # The divisor counts the pixels of all regions with an object: their number times m * m.
        chosen = self._of_labels(logits, labels)
        counted = weight > 0
        pixels = counted.sum().clamp(min=1) * chosen.shape[1] * chosen.shape[2]
        return self.loss_mask(chosen, targets, counted[:, None, None].float(), pixels)

    def probabilities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Soft masks (R, 28, 28) in [0, 1] of logits (R, K or 1, 28, 28) and labels (R,)."""
        return self._of_labels(logits, labels).sigmoid()

    def _of_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The channels (R, 28, 28) of ``labels``; rows without an object get any channel."""
        # A class-agnostic head has one channel, which all labels take.
        channel = labels.clamp(0, logits.shape[1] - 1)[:, None, None, None]
        return logits.gather(1, channel.expand(-1, 1, *logits.shape[2:])).squeeze(1)


@register()
class HTCMaskHead(FCNMaskHead):
    """A mask head that gets the features of the previous stage's head (HTC, Chen et al. 2019).

    Args:
        with_conv_res: has the 1x1 convolution for the previous stage's embedding; the first stage's
            head needs none.
        in_channels, conv_out_channels, norm_cfg, others: as in ``FCNMaskHead``.
    """

    def __init__(
        self,
        in_channels: Count = 256,
        conv_out_channels: Count = 256,
        norm_cfg: NormCfg | None = None,
        with_conv_res: bool = True,
        **others,
    ) -> None:
        widths = dict(in_channels=in_channels, conv_out_channels=conv_out_channels)
        super().__init__(**widths, norm_cfg=norm_cfg, **others)
        if with_conv_res:
            self.conv_res = conv_module(conv_out_channels, in_channels, 1, norm_cfg=norm_cfg)
            init_convs(self.conv_res)

    def embed(self, features: Tensor, previous: Tensor | None = None) -> Tensor:
        """As ``FCNMaskHead.embed``; ``previous`` is the embedding of the previous stage."""
        # Mask information flow: the previous stage's embedding through a 1x1 convolution.
        if previous is not None:
            features = features + self.conv_res(previous)
        return super().embed(features)
