"""Transforms: what happens to a sample between the file and the batch."""

from hrdet.data.transforms.augment import ColorJitter, RandAugment, RandomErasing
from hrdet.data.transforms.classification import CenterCrop, RandomResizedCrop, ResizeEdge
from hrdet.data.transforms.colour import PhotoMetricDistortion
from hrdet.data.transforms.detection import RandomCrop, RandResizeCrop, SegRescale
from hrdet.data.transforms.geometry import Transform
from hrdet.data.transforms.segmentation import (
    PadToSize,
    RandomResize,
    ResizeByFactor,
    SegPhotoMetricDistortion,
    SegRandomCrop,
    fuse,
)
from hrdet.data.transforms.standard import Expand, Pad, RandomFlip, Resize
from hrdet.data.transforms.tta import AugmentedViews, apply
from hrdet.structures.truth import SEMANTIC_IGNORE

TakeViews = AugmentedViews  # the earlier name

__all__ = [
    'SEMANTIC_IGNORE',
    'AugmentedViews',
    'CenterCrop',
    'ColorJitter',
    'Expand',
    'Pad',
    'PadToSize',
    'PhotoMetricDistortion',
    'RandAugment',
    'RandResizeCrop',
    'RandomCrop',
    'RandomErasing',
    'RandomFlip',
    'RandomResize',
    'RandomResizedCrop',
    'Resize',
    'ResizeByFactor',
    'ResizeEdge',
    'SegPhotoMetricDistortion',
    'SegRandomCrop',
    'SegRescale',
    'TakeViews',
    'Transform',
    'apply',
    'fuse',
]
