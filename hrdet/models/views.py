"""One form of a batch of images, and the way between its pixels and those of the results.

N images.  A detector predicts from one view, or from several at test-time augmentation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet.boxes import BoxConvention, flip_boxes, scale_boxes
from hrdet.structures import Batch, Views


@dataclass(slots=True)
class View:
    """Feature maps of N images, and how these were scaled and mirrored."""

    features: list[Tensor]
    sizes: Tensor  # (N, 2) of the input as (h, w)
    scale: Tensor  # (N, 2) input pixels per result pixel as (x, y)
    flipped: Tensor  # (N,) bool: mirrored left to right
    result_sizes: list[tuple[int, int]]  # (h, w) of the images that the results are about
    convention: BoxConvention

    def to_result(self, boxes: Tensor) -> Tensor:
        """Boxes (N, ..., 4) of the input as boxes of the result."""
        return scale_boxes(self._mirror(boxes), 1 / _spread(self.scale, boxes), self.convention)

    def from_result(self, boxes: Tensor) -> Tensor:
        """Boxes (N, ..., 4) of the result as boxes of the input."""
        return self._mirror(scale_boxes(boxes, _spread(self.scale, boxes), self.convention))

    def _mirror(self, boxes: Tensor) -> Tensor:
        width = _spread(self.sizes, boxes)[..., 1]
        return torch.where(_spread(self.flipped[:, None], boxes), flip_boxes(boxes, width), boxes)


def look(batch: Batch, features: list[Tensor], convention: BoxConvention, rescale: bool) -> View:
    """The view of a batch whose results are in pixels of the original (or the input) images."""
    device, metas = batch.images.device, batch.metas
    scale = [meta.scale if rescale else (1.0, 1.0) for meta in metas]
    return View(
        features,
        batch.input_sizes,
        # Made on the host and sent without waiting for what the device still has to do.
        torch.tensor(scale).to(device, non_blocking=True),
        torch.tensor([meta.flipped for meta in metas]).to(device, non_blocking=True),
        [meta.original_size if rescale else meta.input_size for meta in metas],
        convention,
    )


def forms(batch: Batch | Views, rescale: bool) -> list[Batch]:
    """The batches to look at.

    Raises:
        ValueError: results of several views can only be in pixels of the original images.
    """
    if isinstance(batch, Batch):
        return [batch]
    if not rescale:
        raise ValueError('rescale=False: several views have only the original pixels in common')
    return batch.batches


def _spread(values: Tensor, boxes: Tensor) -> Tensor:
    """Values (N, C) of images in the shape (N, 1, ..., 1, C) of their boxes."""
    return values.reshape(len(values), *[1] * (boxes.ndim - 2), -1)
