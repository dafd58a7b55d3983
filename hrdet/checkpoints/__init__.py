"""Weights from files: reading safely, recognising whose they are, converting, reporting.

hrdet's own layout of a state_dict is mmdetection 3's, so weights travel both ways.
"""

from hrdet.checkpoints.families import Family
from hrdet.checkpoints.files import CheckpointError, read_checkpoint, save_checkpoint
from hrdet.checkpoints.loading import (
    LoadReport,
    Mismatch,
    load_backbone,
    load_checkpoint,
    saved_classes,
)

__all__ = [
    'CheckpointError',
    'Family',
    'LoadReport',
    'Mismatch',
    'load_backbone',
    'load_checkpoint',
    'read_checkpoint',
    'save_checkpoint',
    'saved_classes',
]
