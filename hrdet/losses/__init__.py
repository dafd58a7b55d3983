"""Loss functions of predictions and targets, and the classes that a config builds from them.

May change: a loss is a function and a class that calls it.  Must stay: losses are float32, divide
by what the caller says, and never wait for the device.

Every loss is called as ``loss(prediction, target, weight=None, avg_factor=None)`` and returns a
scalar: the weighted sum over all elements divided by ``avg_factor``, or the mean of the weighted
elements.  ``weight`` broadcasts against the elements; ``avg_factor`` is a number or a scalar tensor
above 0.  Predictions in half precision are computed in float32.
"""

from hrdet.losses.losses import (
    CrossEntropyLoss,
    FocalLoss,
    IoULoss,
    L1Loss,
    Loss,
    SmoothL1Loss,
    iou_loss,
    mean_over_processes,
    one_hot,
    sigmoid_focal_loss,
    smooth_l1_loss,
)

__all__ = [
    'CrossEntropyLoss',
    'FocalLoss',
    'IoULoss',
    'L1Loss',
    'Loss',
    'SmoothL1Loss',
    'iou_loss',
    'mean_over_processes',
    'one_hot',
    'sigmoid_focal_loss',
    'smooth_l1_loss',
]
