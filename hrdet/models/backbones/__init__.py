"""Backbones: images to feature maps."""

from hrdet.models.backbones.hrnet import HRNet, SyncHighResolutionNet
from hrdet.models.backbones.resnet import ResNet

__all__ = ['HRNet', 'ResNet', 'SyncHighResolutionNet']
