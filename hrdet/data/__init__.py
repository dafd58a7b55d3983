"""From files to batches: annotations, data sets, transforms, samplers and the loader.

May change: a data set or a transform is a new file beside the others.  Must stay: what a sample
is follows from seed, epoch and index alone, and pixels stay uint8 until they are on the device.
"""

from hrdet.data.annotations import AnnotationReport
from hrdet.data.collate import check_pad_size, collate
from hrdet.data.datasets import (
    ClassBalancedDataset,
    ClassFolders,
    CocoDataset,
    ConcatDataset,
    DetectionDataset,
    ImageDataset,
    ImageNet,
    LabelMapDataset,
    RepeatDataset,
    SampleKey,
    VOCDataset,
    check_images,
    shared_images,
)
from hrdet.data.errors import DataError, DataWarning
from hrdet.data.loader import build_loader
from hrdet.data.samplers import AspectGroupBatchSampler, SequentialShard
from hrdet.data.transforms import (
    AugmentedViews,
    CenterCrop,
    ColorJitter,
    Expand,
    Pad,
    PadToSize,
    PhotoMetricDistortion,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomResize,
    RandomResizedCrop,
    RandResizeCrop,
    Resize,
    ResizeByFactor,
    ResizeEdge,
    SegPhotoMetricDistortion,
    SegRandomCrop,
    SegRescale,
    TakeViews,
)

__all__ = [
    'AnnotationReport',
    'AspectGroupBatchSampler',
    'AugmentedViews',
    'CenterCrop',
    'ClassBalancedDataset',
    'ClassFolders',
    'CocoDataset',
    'ColorJitter',
    'ConcatDataset',
    'DataError',
    'DataWarning',
    'DetectionDataset',
    'Expand',
    'ImageDataset',
    'ImageNet',
    'LabelMapDataset',
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
    'RepeatDataset',
    'Resize',
    'ResizeByFactor',
    'ResizeEdge',
    'SampleKey',
    'SegPhotoMetricDistortion',
    'SegRandomCrop',
    'SegRescale',
    'SequentialShard',
    'TakeViews',
    'VOCDataset',
    'build_loader',
    'check_images',
    'check_pad_size',
    'collate',
    'shared_images',
]
