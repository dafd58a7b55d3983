"""Data sets: COCO files, VOC folders, and what is made of them."""

from hrdet.data.datasets.annotated import DetectionDataset
from hrdet.data.datasets.annotations import AnnotationReport, DataError, DataWarning, Problem
from hrdet.data.datasets.base import ImageDataset, SampleKey
from hrdet.data.datasets.coco import CocoDataset
from hrdet.data.datasets.voc import VOCDataset
from hrdet.data.datasets.wrappers import ClassBalancedDataset, ConcatDataset, RepeatDataset

__all__ = [
    'AnnotationReport',
    'ClassBalancedDataset',
    'CocoDataset',
    'ConcatDataset',
    'DataError',
    'DataWarning',
    'DetectionDataset',
    'ImageDataset',
    'Problem',
    'RepeatDataset',
    'SampleKey',
    'VOCDataset',
]
