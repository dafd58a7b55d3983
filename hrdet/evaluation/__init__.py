"""Evaluators: results in, image by image on every process; metrics out.

May change: a task adds its evaluator and registers it under the name that configs use.  Must stay:
metrics are unrounded, and equal to those of the field's reference implementation.
"""

from hrdet.evaluation.accuracy import Accuracy
from hrdet.evaluation.coco import KINDS, Scores, evaluate, evaluate_coco, flatten
from hrdet.evaluation.evaluator import Evaluator
from hrdet.evaluation.mean_iou import MeanIoU
from hrdet.evaluation.metric import CocoMetric
from hrdet.evaluation.truth import Truth

__all__ = [
    'KINDS',
    'Accuracy',
    'CocoMetric',
    'Evaluator',
    'MeanIoU',
    'Scores',
    'Truth',
    'evaluate',
    'evaluate_coco',
    'flatten',
]
