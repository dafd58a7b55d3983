"""Views of images for test-time augmentation, and the mapping of boxes to the original image.

N images.  A detector predicts from one view, or from several at test-time augmentation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet.boxes import BoxConvention, flip_boxes, scale_boxes
from hrdet.structures import Batch, Views


@dataclass(slots=True)
class AugmentedView:
    """Scale and flip of N images, to map boxes between the input and the result."""

    sizes: Tensor  # (N, 2) of the input as (h, w)
    scale: Tensor  # (N, 2) input pixels per result pixel as (x, y)
    flipped: Tensor  # (N,) bool: mirrored left to right
    result_sizes: list[tuple[int, int]]  # (h, w) of the images whose pixels results are in
    convention: BoxConvention

    def to_result(self, boxes: Tensor) -> Tensor:
        """Boxes (N, ..., 4) of the input as boxes of the result."""
        # Mirrored back first: the width to mirror at is that of the input, before scaling.
        return scale_boxes(self._mirror(boxes), 1 / _spread(self.scale, boxes), self.convention)

    def from_result(self, boxes: Tensor) -> Tensor:
        """Boxes (N, ..., 4) of the result as boxes of the input."""
        return self._mirror(scale_boxes(boxes, _spread(self.scale, boxes), self.convention))

    def _mirror(self, boxes: Tensor) -> Tensor:
        # Width of the input, and whether it is mirrored, for each box of an image.
        width = _spread(self.sizes, boxes)[..., 1]
        return torch.where(_spread(self.flipped[:, None], boxes), flip_boxes(boxes, width), boxes)


def augmented_view(batch: Batch, convention: BoxConvention, rescale: bool) -> AugmentedView:
    """The view of a batch; results are in pixels of the original images, or of the input."""
    device, metas = batch.images.device, batch.metas
    scale = [meta.scale if rescale else (1.0, 1.0) for meta in metas]
    return AugmentedView(
        batch.input_sizes,
        # Made on the host and copied asynchronously.
        torch.tensor(scale).to(device, non_blocking=True),
        torch.tensor([meta.flipped for meta in metas]).to(device, non_blocking=True),
        [meta.original_size if rescale else meta.input_size for meta in metas],
        convention,
    )


def input_view(sizes: Tensor, convention: BoxConvention) -> AugmentedView:
    """The view with results in pixels of the input; ``sizes`` (N, 2) are the images' (h, w)."""
    scale = torch.ones(1, 2, device=sizes.device)
    flipped = torch.zeros(1, dtype=torch.bool, device=sizes.device)
    return AugmentedView(sizes, scale, flipped, [], convention)


def augmented_batches(batch: Batch | Views, rescale: bool) -> list[Batch]:
    """One batch for each view.

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
    return values.reshape(values.shape[0], *[1] * (boxes.ndim - 2), -1)
