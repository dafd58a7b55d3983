"""The second stage: regions, their features, what becomes of them."""

from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.multiclass_nms import NMS, SoftNMS, multiclass_nms
from hrdet.models.roi.standard import StandardRoIHead

__all__ = ['NMS', 'SingleRoIExtractor', 'SoftNMS', 'StandardRoIHead', 'multiclass_nms']
