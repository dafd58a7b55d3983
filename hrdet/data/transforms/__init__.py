"""Transforms: what happens to a sample between the file and the batch."""

from hrdet.data.transforms.colour import PhotoMetricDistortion
from hrdet.data.transforms.detection import RandomCrop, RandResizeCrop, SegRescale
from hrdet.data.transforms.geometry import Transform
from hrdet.data.transforms.standard import Expand, Pad, RandomFlip, Resize
from hrdet.data.transforms.tta import AugmentedViews, apply
from hrdet.structures.truth import SEMANTIC_IGNORE

TakeViews = AugmentedViews  # the earlier name

__all__ = [
    'SEMANTIC_IGNORE',
    'AugmentedViews',
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
