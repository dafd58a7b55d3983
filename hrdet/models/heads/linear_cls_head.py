"""The head of image classifiers: one linear layer."""

from torch import Tensor, nn

from hrdet.losses.cross_entropy import soft_cross_entropy
from hrdet.ranges import Count, NotNegative, Share
from hrdet.registry import register


@register()
class LinearClsHead(nn.Module):
    """Features (N, C) to logits (N, K), trained by cross entropy.

    Args:
        num_classes: K.
        in_channels: C.
        label_smoothing: the part of each target that is spread evenly over the classes.
        loss_weight: factor of the loss.
    """

    float32_layers = ('fc',)  # in optimized models too

    def __init__(
        self,
        num_classes: Count,
        in_channels: Count,
        label_smoothing: Share = 0.0,
        loss_weight: NotNegative = 1.0,
    ) -> None:
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels
        self.label_smoothing, self.loss_weight = label_smoothing, loss_weight
        self.fc = nn.Linear(in_channels, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc(features)

    def loss(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of logits (N, K) and labels (N,), or soft labels (N, K)."""
        loss = soft_cross_entropy(logits, target, self.label_smoothing)
        return {'loss_cls': self.loss_weight * loss}
