"""From files to batches: data sets, transforms, samplers, loader, and a data set to try them on."""

from hrdet.data.collate import check_pad_size, collate
from hrdet.data.datasets import (
    AnnotationReport,
    ClassBalancedDataset,
    CocoDataset,
    ConcatDataset,
    DataError,
    DataWarning,
    DetectionDataset,
    ImageDataset,
    RepeatDataset,
    SampleKey,
    VOCDataset,
)
from hrdet.data.loader import build_loader
from hrdet.data.samplers import AspectGroupBatchSampler, SequentialShard
from hrdet.data.transforms import (
    Expand,
    Pad,
    PhotoMetricDistortion,
    RandomCrop,
    RandomFlip,
    RandResizeCrop,
    Resize,
    SegRescale,
    TakeViews,
)

__all__ = [
    'AnnotationReport',
    'AspectGroupBatchSampler',
    'ClassBalancedDataset',
    'CocoDataset',
    'ConcatDataset',
    'DataError',
    'DataWarning',
    'DetectionDataset',
    'Expand',
    'ImageDataset',
    'Pad',
    'PhotoMetricDistortion',
    'RandResizeCrop',
    'RandomCrop',
    'RandomFlip',
    'RepeatDataset',
    'Resize',
    'SampleKey',
    'SegRescale',
    'SequentialShard',
    'TakeViews',
    'VOCDataset',
    'build_loader',
    'check_pad_size',
    'collate',
]
