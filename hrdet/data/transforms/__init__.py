"""Transforms: what happens to a sample between the file and the batch."""

from hrdet.data.transforms.detection import RandomCrop, RandResizeCrop, SegRescale
from hrdet.data.transforms.geometry import Transform
from hrdet.data.transforms.photometric import PhotoMetricDistortion
from hrdet.data.transforms.standard import Expand, Pad, RandomFlip, Resize
from hrdet.data.transforms.views import TakeViews, apply
from hrdet.structures.truth import SEMANTIC_IGNORE

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
