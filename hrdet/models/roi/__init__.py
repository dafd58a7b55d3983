"""The second stage: regions, their features, what becomes of them."""

from hrdet.models.multiclass_nms import NMS, SoftNMS, multiclass_nms
from hrdet.models.roi.cascade import CascadeRoIHead
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.htc import HybridTaskCascadeRoIHead
from hrdet.models.roi.sampling import RegionSampler
from hrdet.models.roi.standard import StandardRoIHead

__all__ = [
    'NMS',
    'CascadeRoIHead',
    'HybridTaskCascadeRoIHead',
    'RegionSampler',
    'SingleRoIExtractor',
    'SoftNMS',
    'StandardRoIHead',
    'multiclass_nms',
]
