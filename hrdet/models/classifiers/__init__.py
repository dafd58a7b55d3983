"""Image classifiers: one class for a whole image.

May change: how images and labels are mixed in training.  Must stay: the names of parameters, which
are those of mmpretrain's checkpoints.
"""

from hrdet.models.classifiers.image_classifier import ImageClassifier

__all__ = ['ImageClassifier']
