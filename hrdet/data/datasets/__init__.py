"""Data sets: samples by index, and what each data set declares about its images."""

from hrdet.data.datasets.annotated import DetectionDataset
from hrdet.data.datasets.base import ImageDataset, SampleKey
from hrdet.data.datasets.class_folders import ClassFolders, ImageNet
from hrdet.data.datasets.coco import CocoDataset
from hrdet.data.datasets.inspection import check_images
from hrdet.data.datasets.label_maps import LabelMapDataset
from hrdet.data.datasets.overlap import shared_images
from hrdet.data.datasets.segmentation_sets import (
    ADE20KDataset,
    CamVidDataset,
    CityscapesDataset,
    ISPRSDataset,
    LoveDADataset,
    PascalContextDataset,
    PascalContextDataset59,
    PascalVOCDataset,
    PotsdamDataset,
    iSAIDDataset,
)
from hrdet.data.datasets.skipping import skip_bad_images
from hrdet.data.datasets.voc import VOCDataset
from hrdet.data.datasets.wrappers import ClassBalancedDataset, ConcatDataset, RepeatDataset

__all__ = [
    'ADE20KDataset',
    'CamVidDataset',
    'CityscapesDataset',
    'ClassBalancedDataset',
    'ClassFolders',
    'CocoDataset',
    'ConcatDataset',
    'DetectionDataset',
    'ISPRSDataset',
    'ImageDataset',
    'ImageNet',
    'LabelMapDataset',
    'LoveDADataset',
    'PascalContextDataset',
    'PascalContextDataset59',
    'PascalVOCDataset',
    'PotsdamDataset',
    'RepeatDataset',
    'SampleKey',
    'VOCDataset',
    'check_images',
    'iSAIDDataset',
    'shared_images',
    'skip_bad_images',
]
