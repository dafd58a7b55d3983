"""From files to batches: annotations, data sets, transforms, samplers and the loader.

May change: a data set or a transform is a new file beside the others.  Must stay: what a sample
is follows from seed, epoch and index alone, and pixels stay uint8 until they are on the device.
"""

from hrdet.data.annotations import AnnotationReport
from hrdet.data.collate import check_pad_size, collate
from hrdet.data.datasets import (
    ClassBalancedDataset,
    CocoDataset,
    ConcatDataset,
    DetectionDataset,
    ImageDataset,
    RepeatDataset,
    SampleKey,
    VOCDataset,
)
from hrdet.data.errors import DataError, DataWarning
from hrdet.data.loader import build_loader
from hrdet.data.samplers import AspectGroupBatchSampler, SequentialShard
from hrdet.data.transforms import (
    AugmentedViews,
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
    'AugmentedViews',
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
