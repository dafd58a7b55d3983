"""What a run reports: its losses, log lines, trackers, sample pictures and curves."""

from hrdet.tracking.loss_buffer import LossBuffer, NonFiniteLoss
from hrdet.tracking.trackers import (
    LOG_FILE,
    JsonLines,
    SamplePictures,
    Tracker,
    Trackers,
    build_trackers,
)
from hrdet.tracking.training_log import TrainingLog

__all__ = [
    'LOG_FILE',
    'JsonLines',
    'LossBuffer',
    'NonFiniteLoss',
    'SamplePictures',
    'Tracker',
    'Trackers',
    'TrainingLog',
    'build_trackers',
]
