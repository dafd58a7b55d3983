"""Losses of classification.

R predictions, K classes; the label K means background.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.losses.reduction import Loss
from hrdet.registry import register


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Labels (...) as bool (..., K); the row of a background label is all False."""
    return labels[..., None] == torch.arange(num_classes, device=labels.device)


def sigmoid_focal_loss(
    logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float = 0.25
) -> Tensor:
    """Elementwise focal loss (Lin et al. 2017, equation 5) of logits and a target of 0 and 1."""
    target = target.bool()
    # The logit of the right answer: its probability is p = sigmoid(z).
    z = logits * torch.where(target, 1, -1)
    # (1 - p)^gamma through the logarithm keeps its gradient finite where 1 - p rounds to 0.
    loss = -F.logsigmoid(z) * (gamma * F.logsigmoid(-z)).exp()
    return loss * torch.where(target, alpha, 1 - alpha)


@register()
@dataclass(frozen=True, slots=True)
class CrossEntropyLoss(Loss):
    """Softmax cross entropy, or one binary cross entropy per class with ``use_sigmoid``.

    Softmax: logits (R, K + 1), labels (R,), elements (R,).  Sigmoid: logits and their probabilities
    of one shape, which is also that of the elements; or logits (..., K) and integer labels (...).
    """

    use_sigmoid: bool = False

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        if not self.use_sigmoid:
            return F.cross_entropy(prediction, target, reduction='none')
        if target.ndim < prediction.ndim:
            target = one_hot(target, prediction.shape[-1])
        target = target.to(prediction.dtype)
        return F.binary_cross_entropy_with_logits(prediction, target, reduction='none')


@register()
@dataclass(frozen=True, slots=True)
class FocalLoss(Loss):
    """Focal loss of logits (R, K) and labels (R,); the elements are (R, K)."""

    use_sigmoid: bool = True
    gamma: float = 2.0
    alpha: float = 0.25

    def __post_init__(self) -> None:
        if not self.use_sigmoid:
            raise ValueError('use_sigmoid=False: the focal loss exists for sigmoids only')

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        target = one_hot(target, prediction.shape[-1])
        return sigmoid_focal_loss(prediction, target, self.gamma, self.alpha)
