"""Collate samples into a padded batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from hrdet.data.datasets import ImageDataset
from hrdet.data.errors import DataError
from hrdet.structures import Annotation, Batch, ImageMeta, Sample, Views
from hrdet.structures.arrays import zeros
from hrdet.structures.batch import map_tensors


def collate(
    samples: Sequence[Sample | list[Sample]],
    pad_size: tuple[int, int] | None = None,
    size_divisor: int = 1,
) -> Batch | Views:
    """Collate samples into one batch, zero-padded on the right and below.

    Args:
        samples: images as (h, w, 3) uint8; or the list of views of every image, which makes
            ``Views``.
        pad_size: (w, h) of every landscape batch; portrait batches have (h, w), and square images
            count as portrait.  None pads to the largest image.
        size_divisor: edges of the batch are multiples of it.

    Returns:
        images (N, 3, H, W) uint8 in channels_last memory; truth and proposals as their ``collate``
        returns them, or None if a sample has none.

    Raises:
        DataError: an image is larger than ``pad_size``.
    """
    if isinstance(samples[0], list):
        return Views([collate(view, pad_size, size_divisor) for view in zip(*samples, strict=True)])
    metas = [sample.meta for sample in samples]
    height, width = size = _padded_size(samples, pad_size, size_divisor)
    # Images are copied into one (N, H, W, 3) buffer: seen as (N, 3, H, W) it is channels_last
    # memory.
    images = zeros((len(samples), height, width, 3), torch.uint8)
    for canvas, sample in zip(images.numpy(), samples):
        h, w = sample.image.shape[:2]
        canvas[:h, :w] = sample.image
    batch = Batch(
        images=images.permute(0, 3, 1, 2),
        metas=metas,
        input_sizes=torch.tensor([meta.input_size for meta in metas], dtype=torch.float32),
        padded_sizes=torch.tensor([meta.padded_size for meta in metas], dtype=torch.float32),
        truth=_collated([sample.truth for sample in samples], metas, size),
        proposals=_collated([sample.proposals for sample in samples], metas, size),
    )
    # The queue to the training process would do this in a thread whose errors nobody hears of.
    if get_worker_info() is None:
        return batch
    return map_tensors(batch, lambda t: t.share_memory_() if t.numel() else t)


def _collated(
    annotations: list[Annotation | None], metas: list[ImageMeta], size: tuple[int, int]
) -> Any:
    """The batch form of one kind of annotation; None where a sample has none."""
    if any(annotation is None for annotation in annotations):
        return None
    return annotations[0].collate(annotations, metas, size)


def check_pad_size(dataset: ImageDataset, pad_size: tuple[int, int] | None) -> None:
    """Check before the first batch that every image fits into ``pad_size`` (w, h).

    Raises:
        DataError: with the number of such images, the first of them and the size it needs.
    """
    if pad_size is None or len(dataset) == 0:
        return
    largest = dataset.largest_sizes()
    if largest is None:  # sizes are unknown: ``collate`` checks every batch
        return
    # The padded size of the batch of each image: (n, 2) as (h, w), turned for portraits.
    landscape = _is_landscape(largest, dataset.sizes)[:, None]
    room = np.where(landscape, (pad_size[1], pad_size[0]), pad_size)
    too_large = np.flatnonzero((largest > room).any(axis=1))
    if len(too_large):
        first = int(too_large[0])
        long, short = int(largest.max()), int(largest.min(axis=1).max())
        raise DataError(
            f'data.pad_size={tuple(pad_size)} is too small for {len(too_large)} of {len(dataset)} '
            f'images: image {dataset.image_ids[first]} of {dataset.sizes[first].tolist()} pixels '
            f'(h, w) may become {largest[first].tolist()}. '
            f'Set pad_size=({long}, {short}) or larger, or smaller scales'
        )


def _is_landscape(sizes: np.ndarray, original: np.ndarray) -> np.ndarray:
    """(n,) bool from sizes (n, 2); where rounding makes an image square, the file decides."""
    square = sizes[:, 0] == sizes[:, 1]
    return np.where(square, original[:, 1] > original[:, 0], sizes[:, 1] > sizes[:, 0])


def _padded_size(
    samples: Sequence[Sample], pad_size: tuple[int, int] | None, divisor: int
) -> tuple[int, int]:
    needed = np.array([sample.meta.padded_size for sample in samples])
    # With ``pad_size`` the batch has that size whatever its images need, so that shapes repeat.
    if pad_size is not None:
        sizes = np.array([sample.meta.input_size for sample in samples])
        original = np.array([sample.meta.original_size for sample in samples])
        landscape = _is_landscape(sizes, original)[:, None]
        room = np.where(landscape, (pad_size[1], pad_size[0]), pad_size)
        for i in np.flatnonzero((needed > room).any(axis=1)):
            raise DataError(
                f'{samples[i].meta.path}: {needed[i].tolist()} pixels (h, w) do not fit into '
                f'data.pad_size={tuple(pad_size)}, given as (w, h); make it larger'
            )
        needed = room
    # The largest (h, w) needed, rounded up to the divisor.
    height, width = (-(-needed.max(axis=0) // divisor) * divisor).tolist()
    return height, width
