"""The nouns that travel between data, models and evaluation.

Boxes everywhere are ``(x1, y1, x2, y2)`` float32 in continuous pixel coordinates: the width is
``x2 - x1``.  Sizes are ``(h, w)``, scales are ``(x, y)``.
"""

from hrdet.structures.batch import Batch, GroundTruth, ImageMeta, Sample, Views
from hrdet.structures.results import Detections, Proposals

__all__ = ['Batch', 'Detections', 'GroundTruth', 'ImageMeta', 'Proposals', 'Sample', 'Views']
