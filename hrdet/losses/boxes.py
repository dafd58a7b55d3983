"""Losses of box regression: on coded deltas, or on the boxes themselves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet.boxes import aligned_iou
from hrdet.losses.reduction import Loss
from hrdet.registry import register


def smooth_l1_loss(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Elementwise absolute difference, a parabola below ``beta`` (Girshick, Fast R-CNN, 2015)."""
    difference = (prediction - target).abs()
    parabola = 0.5 * difference * difference / beta
    return torch.where(difference < beta, parabola, difference - 0.5 * beta)


def iou_loss(prediction: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """-log IoU (R,) of boxes (R, 4) row by row (Yu et al., UnitBox, 2016); at most -log eps."""
    return -aligned_iou(prediction, target).clamp(min=eps).log()


@register()
@dataclass(frozen=True, slots=True)
class SmoothL1Loss(Loss):
    """Smooth L1 of predictions and targets of one shape, which is also that of the elements."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f'beta must be above 0, not {self.beta}; for 0 there is L1Loss')

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(prediction, target, self.beta)


@register()
@dataclass(frozen=True, slots=True)
class L1Loss(Loss):
    """Absolute difference of predictions and targets of one shape, that of the elements too."""

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs()


@register()
@dataclass(frozen=True, slots=True)
class IoULoss(Loss):
    """-log IoU of boxes (R, 4) and their targets; the elements are (R,)."""

    eps: float = 1e-6

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        return iou_loss(prediction, target, self.eps)
