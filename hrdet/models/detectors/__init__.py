"""Detectors: the algorithms, each on one screen."""

from hrdet.models.detectors.base import Detector
from hrdet.models.detectors.two_stage import FasterRCNN

__all__ = ['Detector', 'FasterRCNN']
