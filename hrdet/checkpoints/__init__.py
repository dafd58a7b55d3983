"""Checkpoints: read files of every published family, convert them, and report every key.

May change: a family is a signature and a table of rules.  Must stay: nothing in a file is executed,
damage is found, and no entry is dropped without being reported.  hrdet's own layout of a state_dict
is mmdetection 3's, so that weights travel both ways.
"""

from hrdet.checkpoints.contents import saved_classes, saved_palette
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
    'saved_palette',
]
