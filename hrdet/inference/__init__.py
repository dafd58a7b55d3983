"""Inference on images of users: predict images of any kind, and results for notebooks.

May change: a task registers its result with ``present``.  Must stay: images arrive one by one, and
only one batch of them is in memory.
"""

from hrdet.inference.image_result import ImageResult
from hrdet.inference.predict import predict_images, present_images
from hrdet.inference.result_list import Results
from hrdet.inference.results import ClassificationResult, DetectionResult, SegmentationResult
from hrdet.inference.tiles import Tiling

__all__ = [
    'ClassificationResult',
    'DetectionResult',
    'ImageResult',
    'Results',
    'SegmentationResult',
    'Tiling',
    'predict_images',
    'present_images',
]
