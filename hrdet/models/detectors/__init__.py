"""Detectors: each algorithm on one screen, from a batch to losses or detections."""

from hrdet.models.detectors.base import Detector
from hrdet.models.detectors.fcos import FCOS
from hrdet.models.detectors.two_stage import TwoStageDetector

__all__ = ['FCOS', 'Detector', 'TwoStageDetector']
