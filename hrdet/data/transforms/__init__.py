"""What happens to a sample between the file and the batch."""

from hrdet.data.transforms.augment import (
    Expand,
    PhotoMetricDistortion,
    RandomCrop,
    RandResizeCrop,
)
from hrdet.data.transforms.geometry import SEMANTIC_IGNORE, Transform
from hrdet.data.transforms.standard import Pad, RandomFlip, Resize, SegRescale
from hrdet.data.transforms.views import TakeViews, apply

__all__ = [
    'SEMANTIC_IGNORE',
    'Expand',
    'Pad',
    'PhotoMetricDistortion',
    'RandResizeCrop',
    'RandomCrop',
    'RandomFlip',
    'Resize',
    'SegRescale',
    'TakeViews',
    'Transform',
    'apply',
]
