"""Detections in, COCO's numbers out."""

from hrdet.evaluation.coco import KINDS, Scores, evaluate, evaluate_coco, flatten
from hrdet.evaluation.metric import CocoMetric
from hrdet.evaluation.truth import Truth

__all__ = ['KINDS', 'CocoMetric', 'Scores', 'Truth', 'evaluate', 'evaluate_coco', 'flatten']
