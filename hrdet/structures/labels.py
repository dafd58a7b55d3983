"""The ground truth of classification and segmentation: a label per image, or per pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrdet.structures.arrays import pad_maps
from hrdet.structures.sample import Annotation, ImageMeta
from hrdet.structures.truth import SEMANTIC_IGNORE, paste, resize_nearest

Size = tuple[int, int]  # (h, w)


@dataclass(slots=True)
class ClassLabel(Annotation):
    """The class of one image, or of each image of a batch.

    For one image ``labels`` is a number in 0..K-1; for a batch it is (N,) int64, or (N, K) float32
    after images have been mixed (mixup, cutmix): the share of each class.
    """

    labels: int | Tensor

    @classmethod
    def collate(
        cls, annotations: Sequence['ClassLabel'], metas: Sequence[ImageMeta], size: Size
    ) -> 'ClassLabel':
        return cls(torch.tensor([annotation.labels for annotation in annotations]))


@dataclass(slots=True)
class SegmentationMap(Annotation):
    """The class of every pixel of one image, (h, w) uint8, or of a batch, (N, H, W) uint8.

    Labels are 0..K-1; ``SEMANTIC_IGNORE`` marks pixels of no class and the padding of a batch.
    """

    labels: np.ndarray | Tensor

    def flip(self, size: Size) -> 'SegmentationMap':
        return SegmentationMap(np.ascontiguousarray(self.labels[:, ::-1]))

    def resize(self, size: Size, scale: tuple[float, float], part: Size) -> 'SegmentationMap':
        return SegmentationMap(resize_nearest(self.labels, size, part))

    def crop(self, left: int, top: int, size: Size) -> 'SegmentationMap':
        return SegmentationMap(self.labels[top : top + size[0], left : left + size[1]])

    def expand(self, left: int, top: int, size: Size) -> 'SegmentationMap':
        return SegmentationMap(paste(self.labels, left, top, size, SEMANTIC_IGNORE))

    @classmethod
    def collate(
        cls, annotations: Sequence['SegmentationMap'], metas: Sequence[ImageMeta], size: Size
    ) -> 'SegmentationMap':
        return cls(
            pad_maps([annotation.labels for annotation in annotations], size, SEMANTIC_IGNORE)
        )
