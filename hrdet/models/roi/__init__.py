"""The second stage: sampling, features, losses and predictions of proposed regions."""

from hrdet.models.multiclass_nms import NMS, SoftNMS, multiclass_nms
from hrdet.models.roi.base import RoIHead
from hrdet.models.roi.cascade import CascadeRoIHead
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.htc import HybridTaskCascadeRoIHead
from hrdet.models.roi.sampling import RoISampler, SamplingResult
from hrdet.models.roi.standard import StandardRoIHead

RegionSampler = RoISampler  # its earlier name

__all__ = [
    'NMS',
    'CascadeRoIHead',
    'HybridTaskCascadeRoIHead',
    'RoIHead',
    'RoISampler',
    'SamplingResult',
    'SingleRoIExtractor',
    'SoftNMS',
    'StandardRoIHead',
    'multiclass_nms',
]
