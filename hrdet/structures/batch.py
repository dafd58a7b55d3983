"""What goes into a model: one image with its truth, and a batch of them.

N images, G boxes of the fullest image, I ignored boxes of the fullest image.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(slots=True)
class ImageMeta:
    """Numbers about one image: where it came from and what was done to it."""

    path: str
    image_id: int | str
    original_size: tuple[int, int]  # (h, w) of the file
    input_size: tuple[int, int]  # (h, w) after resizing and cropping, without padding
    padded_size: tuple[int, int]  # (h, w) after this image's own padding, without the batch's
    scale: tuple[float, float] = (1.0, 1.0)  # (x, y): input pixels per original pixel
    flipped: bool = False  # mirrored left to right


@dataclass(slots=True)
class GroundTruth:
    """What is on one image, or on a padded batch of images.

    For one image: ``boxes`` (G, 4), ``labels`` (G,) in 0..K-1, ``ignored`` (I, 4) crowd regions,
    ``masks`` (G, h, w) uint8 of 0 and 1, ``semantic`` (h, w) uint8; numpy arrays.
    For a batch: tensors with a leading N, the rows padded with zeros, and ``valid`` (N, G),
    ``ignored_valid`` (N, I) telling the real ones apart.
    """

    boxes: np.ndarray | Tensor
    labels: np.ndarray | Tensor
    ignored: np.ndarray | Tensor
    masks: np.ndarray | Tensor | None = None
    semantic: np.ndarray | Tensor | None = None
    valid: Tensor | None = None
    ignored_valid: Tensor | None = None


@dataclass(slots=True)
class Sample:
    """One image on its way through the transforms: ``image`` is (h, w, 3) uint8 BGR."""

    image: np.ndarray
    meta: ImageMeta
    truth: GroundTruth | None = None
    proposals: np.ndarray | None = None  # (P, 5) boxes and score, from a proposal file


@dataclass(slots=True)
class Batch:
    """N images of one padded size, on one device.

    ``images`` (N, 3, H, W) uint8 BGR as loaded (the model normalises them).  ``input_sizes`` and
    ``padded_sizes`` (N, 2) float32 repeat those numbers of ``metas`` as (h, w) on the device, so
    that nothing in a training step has to cross from the host.
    """

    images: Tensor
    metas: list[ImageMeta]
    input_sizes: Tensor
    padded_sizes: Tensor
    truth: GroundTruth | None = None
    proposals: Tensor | None = None  # (N, P, 5), rows of score -1 are padding

    def to(self, device: torch.device | str, non_blocking: bool = True) -> 'Batch':
        """The same batch on another device."""
        return _map_tensors(self, lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> 'Batch':
        """The same batch in page-locked memory (called by torch's DataLoader)."""
        return _map_tensors(self, lambda t: t.pin_memory())

    def part(self, images: slice) -> 'Batch':
        """Some of its images, as they are."""
        return replace(_map_tensors(self, lambda t: t[images]), metas=self.metas[images])


@dataclass(slots=True)
class Views:
    """The same N images in several forms (scales, mirrored), for test-time augmentation."""

    batches: list[Batch]  # one for each form

    @property
    def metas(self) -> list[ImageMeta]:
        """Those of the first form: all forms agree on file, number and original size."""
        return self.batches[0].metas

    def to(self, device: torch.device | str, non_blocking: bool = True) -> 'Views':
        """The same views on another device."""
        return Views([batch.to(device, non_blocking) for batch in self.batches])

    def pin_memory(self) -> 'Views':
        """The same views in page-locked memory (called by torch's DataLoader)."""
        return Views([batch.pin_memory() for batch in self.batches])

    def part(self, images: slice) -> 'Views':
        """The views of some of the images."""
        return Views([batch.part(images) for batch in self.batches])


def _map_tensors(value, function):
    changed = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, Tensor):
            changed[field.name] = function(item)
        elif isinstance(item, GroundTruth):
            changed[field.name] = _map_tensors(item, function)
    return replace(value, **changed)
