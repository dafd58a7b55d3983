"""Evaluators: results in, image by image on every process; metrics out.

May change: a task adds its evaluator and registers it under the name that configs use.  Must stay:
metrics are unrounded, and equal to those of the field's reference implementation.
"""

from hrdet.evaluation.accuracy import Accuracy
from hrdet.evaluation.coco import (
    KINDS,
    Scores,
    evaluate,
    evaluate_coco,
    flatten,
    mmdetection_names,
)
from hrdet.evaluation.coco_annotations import CocoAnnotations
from hrdet.evaluation.details import error_numbers
from hrdet.evaluation.evaluator import Evaluator, metrics_of
from hrdet.evaluation.mean_iou import MeanIoU
from hrdet.evaluation.metric import CocoMetric

Truth = CocoAnnotations  # the earlier name

__all__ = [
    'KINDS',
    'Accuracy',
    'CocoAnnotations',
    'CocoMetric',
    'Evaluator',
    'MeanIoU',
    'Scores',
    'Truth',
    'error_numbers',
    'evaluate',
    'evaluate_coco',
    'flatten',
    'metrics_of',
    'mmdetection_names',
]
