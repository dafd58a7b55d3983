"""Data sets: samples by index, and what each data set declares about its images."""

from hrdet.data.datasets.annotated import DetectionDataset
from hrdet.data.datasets.base import ImageDataset, SampleKey
from hrdet.data.datasets.coco import CocoDataset
from hrdet.data.datasets.voc import VOCDataset
from hrdet.data.datasets.wrappers import ClassBalancedDataset, ConcatDataset, RepeatDataset

__all__ = [
    'ClassBalancedDataset',
    'CocoDataset',
    'ConcatDataset',
    'DetectionDataset',
    'ImageDataset',
    'RepeatDataset',
    'SampleKey',
    'VOCDataset',
]
