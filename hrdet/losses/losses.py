"""Losses of classification and box regression: functions of elements, and objects for configs.

R predictions, K classes; the label K means background.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from hrdet.boxes import aligned_iou
from hrdet.ranges import NotNegative, Positive, Share
from hrdet.registry import register


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Base class of losses: subclasses define ``elements``, this class weights and sums them."""

    loss_weight: NotNegative = 1.0

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Losses of single elements, before weighting and summing."""
        raise NotImplementedError

    def __call__(
        self,
        prediction: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
    ) -> Tensor:
        """A scalar: the weighted sum over ``avg_factor``, or the mean of the weighted elements.

        Without elements it is 0, still connected to the prediction, so that every parameter gets a
        gradient.
        """
        # Half precision would lose the small terms of a long sum.
        prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
        loss = self.elements(prediction, target)
        if weight is not None:
            loss = loss * weight
        if avg_factor is None:
            avg_factor = max(loss.numel(), 1)
        return self.loss_weight * loss.sum() / avg_factor


@register()
@dataclass(frozen=True, slots=True)
class CrossEntropyLoss(Loss):
    """Softmax cross entropy, or one binary cross entropy per class with ``use_sigmoid``.

    Softmax: logits (R, K + 1), labels (R,), elements (R,).  Sigmoid: logits, target probabilities
    and elements of one shape; or logits (..., K) and integer labels (...).
    """

    use_sigmoid: bool = False

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        # Softmax over K + 1 columns, of which the last is the background.
        if not self.use_sigmoid:
            return F.cross_entropy(prediction, target, reduction='none')
        # Labels (...) become targets (..., K); a background label is a row of zeros.
        if target.ndim < prediction.ndim:
            target = one_hot(target, prediction.shape[-1])
        target = target.to(prediction.dtype)
        return F.binary_cross_entropy_with_logits(prediction, target, reduction='none')


@register()
@dataclass(frozen=True, slots=True)
class FocalLoss(Loss):
    """Focal loss of logits (R, K) and labels (R,); the elements are (R, K)."""

    use_sigmoid: bool = True
    gamma: NotNegative = 2.0
    alpha: Share = 0.25

    def __post_init__(self) -> None:
        if not self.use_sigmoid:
            raise ValueError('use_sigmoid=False: the focal loss exists for sigmoids only')

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        target = one_hot(target, prediction.shape[-1])
        return sigmoid_focal_loss(prediction, target, self.gamma, self.alpha)


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
class SmoothL1Loss(Loss):
    """Smooth L1; predictions, targets and elements have one shape."""

    beta: Positive = 1.0

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f'beta must be above 0, not {self.beta}; for 0 there is L1Loss')

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(prediction, target, self.beta)


@register()
@dataclass(frozen=True, slots=True)
class L1Loss(Loss):
    """Absolute difference; predictions, targets and elements have one shape."""

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs()


@register()
@dataclass(frozen=True, slots=True)
class IoULoss(Loss):
    """-log IoU of boxes (R, 4) and their targets; the elements are (R,)."""

    eps: Positive = 1e-6

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        return iou_loss(prediction, target, self.eps)


def smooth_l1_loss(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Elementwise absolute difference, a parabola below ``beta`` (Girshick, Fast R-CNN, 2015)."""
    difference = (prediction - target).abs()
    # Both pieces meet at ``beta`` with equal value and slope.
    parabola = 0.5 * difference * difference / beta
    return torch.where(difference < beta, parabola, difference - 0.5 * beta)


def iou_loss(prediction: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """-log IoU (R,) of boxes (R, 4) row by row (Yu et al., UnitBox, 2016); at most -log eps."""
    return -aligned_iou(prediction, target).clamp(min=eps).log()


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of ``values`` over all training processes; in a single one the values themselves.

    For divisors of losses, so that the average of all processes' gradients equals the gradient of
    one large batch.  No gradient flows through it.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return values
    mean = values.detach() / dist.get_world_size()
    dist.all_reduce(mean)
    return mean
