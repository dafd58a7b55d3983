"""The typed data that travels between data, models and evaluation: images, truths, results.

May change: a task adds its truth (an ``Annotation``) and its result.  Must stay: ``Sample``,
``Batch`` and ``Views`` are the same for every task.  Boxes are ``(x1, y1, x2, y2)``
float32 in continuous pixel coordinates: the width is ``x2 - x1``.  Sizes are ``(h, w)``, scales are
``(x, y)``.
"""

from hrdet.structures.batch import Batch, Views
from hrdet.structures.labels import ClassLabel, SegmentationMap
from hrdet.structures.results import ClassScores, Detection, Detections, LabelMap, Proposals, Result
from hrdet.structures.sample import Annotation, ImageMeta, Sample
from hrdet.structures.truth import GroundTruth, LoadedProposals

__all__ = [
    'Annotation',
    'Batch',
    'ClassLabel',
    'ClassScores',
    'Detection',
    'Detections',
    'GroundTruth',
    'ImageMeta',
    'LabelMap',
    'LoadedProposals',
    'Proposals',
    'Result',
    'Sample',
    'SegmentationMap',
    'Views',
]
