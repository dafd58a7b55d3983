"""Necks: feature maps of the backbone to the levels of the heads."""

from hrdet.models.necks.fpn import FPN
from hrdet.models.necks.hr_fuse_scales import GlobalAveragePooling, HRFuseScales
from hrdet.models.necks.hrfpn import HRFPN

__all__ = ['FPN', 'HRFPN', 'GlobalAveragePooling', 'HRFuseScales']
