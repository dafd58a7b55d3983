"""One image with its ground truth, between the file and the batch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(slots=True)
class ImageMeta:
    """Metadata of one image: its file, its sizes, and how it was transformed."""

    path: str
    image_id: int | str
    original_size: tuple[int, int]  # (h, w) of the file
    input_size: tuple[int, int]  # (h, w) after resizing and cropping, without padding
    padded_size: tuple[int, int]  # (h, w) after this image's own padding, without the batch's
    scale: tuple[float, float] = (1.0, 1.0)  # (x, y): input pixels per original pixel
    flipped: bool = False  # mirrored left to right


class Annotation(ABC):
    """The truth about one image; each task has a subclass, a dataclass of numpy arrays.

    The geometric methods return the annotation of the changed image and leave ``self`` as it is.
    Here they return ``self``: a class label does not move with the pixels.  Sizes are ``(h, w)``.
    """

    __slots__ = ()

    def flip(self, size: tuple[int, int]) -> 'Annotation':
        """Mirror left to right, on an image of ``size``."""
        return self

    def resize(
        self, size: tuple[int, int], scale: tuple[float, float], part: tuple[int, int]
    ) -> 'Annotation':
        """Bring the image to ``size``; of its pixels only the upper left ``part`` is needed.

        ``scale`` (x, y) multiplies coordinates.  It may differ from the ratio of the sizes, which
        are whole pixels.
        """
        return self

    def crop(self, left: int, top: int, size: tuple[int, int]) -> 'Annotation':
        """Cut out the window of ``size`` whose corner is at ``left``, ``top``."""
        return self

    def expand(self, left: int, top: int, size: tuple[int, int]) -> 'Annotation':
        """Put the image on a canvas of ``size``, its corner at ``left``, ``top``."""
        return self

    @classmethod
    @abstractmethod
    def collate(
        cls, annotations: Sequence['Annotation'], metas: Sequence[ImageMeta], size: tuple[int, int]
    ) -> Any:
        """N annotations as tensors with a leading N, padded for images of ``size``."""


@dataclass(slots=True)
class Sample:
    """One image on its way through the transforms: ``image`` is (h, w, 3) uint8 BGR."""

    image: np.ndarray
    meta: ImageMeta
    truth: Annotation | None = None
    proposals: Annotation | None = None  # computed beforehand, from a proposal file
