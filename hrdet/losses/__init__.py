"""What training minimises: pure functions of tensors, and the objects a config builds from them.

Every loss is called as ``loss(prediction, target, weight=None, avg_factor=None)`` and returns a
scalar: the weighted sum over all elements divided by ``avg_factor``, or the mean of the weighted
elements.  ``weight`` broadcasts against the elements; ``avg_factor`` is a number or a scalar tensor
above 0.  Predictions in half precision are computed in float32.
"""

from hrdet.losses.boxes import IoULoss, L1Loss, SmoothL1Loss, iou_loss, smooth_l1_loss
from hrdet.losses.classes import CrossEntropyLoss, FocalLoss, one_hot, sigmoid_focal_loss
from hrdet.losses.reduction import Loss, mean_over_processes

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
