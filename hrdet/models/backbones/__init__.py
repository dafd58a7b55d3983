"""Backbones: from images to feature maps."""

from hrdet.models.backbones.hrnet import HRNet, SyncHighResolutionNet

__all__ = ['HRNet', 'SyncHighResolutionNet']
