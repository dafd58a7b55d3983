"""Weights from files: reading safely, recognising whose they are, converting, reporting.

hrdet's own layout of a state_dict is mmdetection 3's, so weights travel both ways.
"""

from hrdet.checkpoints.contents import saved_classes
from hrdet.checkpoints.exporting import ExportReport, export
from hrdet.checkpoints.families import Family
from hrdet.checkpoints.files import CheckpointError, read_checkpoint, save_checkpoint
from hrdet.checkpoints.loading import (
    LoadReport,
    Mismatch,
    load_backbone,
    load_checkpoint,
)

__all__ = [
    'CheckpointError',
    'ExportReport',
    'Family',
    'LoadReport',
    'Mismatch',
    'export',
    'load_backbone',
    'load_checkpoint',
    'read_checkpoint',
    'save_checkpoint',
    'saved_classes',
]
