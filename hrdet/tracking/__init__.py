"""What a run reports: losses, log lines, trackers, sample pictures and curves.

May change: a tracker is a small class.  Must stay: ``log.jsonl`` keeps its keys, and a tracker that
fails never stops a training.
"""

from hrdet.tracking.doubts import doubts
from hrdet.tracking.out_of_memory import OutOfMemory, explain_out_of_memory
from hrdet.tracking.trackers import (
    LOG_FILE,
    JsonLines,
    SamplePictures,
    Tracker,
    Trackers,
    build_trackers,
)
from hrdet.tracking.training_log import LossBuffer, NonFiniteLoss, TrainingLog

__all__ = [
    'LOG_FILE',
    'JsonLines',
    'LossBuffer',
    'NonFiniteLoss',
    'OutOfMemory',
    'SamplePictures',
    'Tracker',
    'Trackers',
    'TrainingLog',
    'build_trackers',
    'doubts',
    'explain_out_of_memory',
]
