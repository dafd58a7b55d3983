"""From samples to a batch: one buffer, padded, with the truth padded beside it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from hrdet.data.datasets import DataError, DetectionDataset
from hrdet.data.transforms import SEMANTIC_IGNORE
from hrdet.structures import Batch, GroundTruth, Sample, Views


def collate(
    samples: Sequence[Sample] | Sequence[list[Sample]],
    pad_size: tuple[int, int] | None = None,
    size_divisor: int = 1,
) -> Batch | Views:
    """Put samples into one batch, zero-padded on the right and below.

    Args:
        samples: images as (h, w, 3) uint8; or of every image its views, which makes ``Views``.
        pad_size: (w, h) of every landscape batch; (h, w) is that of portrait ones, to which
            square images count.  None pads to the largest image.
        size_divisor: edges of the batch are multiples of it.

    Returns:
        images (N, 3, H, W) uint8 in channels_last memory; truth padded to the batch's largest
        count, at least 1, if every sample has one.  Semantic maps are padded with 255.

    Raises:
        DataError: an image is larger than ``pad_size``.
    """
    if isinstance(samples[0], list):
        return Views([collate(view, pad_size, size_divisor) for view in zip(*samples, strict=True)])
    metas = [sample.meta for sample in samples]
    height, width = _padded_size(samples, pad_size, size_divisor)
    images = _zeros((len(samples), height, width, 3), torch.uint8)
    for canvas, sample in zip(images.numpy(), samples):
        h, w = sample.image.shape[:2]
        canvas[:h, :w] = sample.image
    has_truth = all(sample.truth is not None for sample in samples)
    has_proposals = all(sample.proposals is not None for sample in samples)
    return Batch(
        images=images.permute(0, 3, 1, 2),
        metas=metas,
        input_sizes=torch.tensor([meta.input_size for meta in metas], dtype=torch.float32),
        padded_sizes=torch.tensor([meta.padded_size for meta in metas], dtype=torch.float32),
        truth=_truth([s.truth for s in samples], samples, (height, width)) if has_truth else None,
        proposals=_rows([s.proposals for s in samples], fill=-1)[0] if has_proposals else None,
    )


def check_pad_size(dataset: DetectionDataset, pad_size: tuple[int, int] | None) -> None:
    """Refuse, before the first batch, a ``pad_size`` (w, h) that some image may not fit into.

    Raises:
        DataError: with the number of such images, the first of them and the size it needs.
    """
    if pad_size is None or len(dataset) == 0:
        return
    largest = dataset.largest_sizes()
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
    """Orientation of images (n, 2); rounding may make an image square: then the file's own."""
    square = sizes[:, 0] == sizes[:, 1]
    return np.where(square, original[:, 1] > original[:, 0], sizes[:, 1] > sizes[:, 0])


def _padded_size(
    samples: Sequence[Sample], pad_size: tuple[int, int] | None, divisor: int
) -> tuple[int, int]:
    needed = np.array([sample.meta.padded_size for sample in samples])
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
    height, width = (-(-needed.max(axis=0) // divisor) * divisor).tolist()
    return height, width


def _truth(
    truths: list[GroundTruth], samples: Sequence[Sample], size: tuple[int, int]
) -> GroundTruth:
    boxes, valid = _rows([truth.boxes for truth in truths])
    labels, _ = _rows([truth.labels for truth in truths])
    ignored, ignored_valid = _rows([truth.ignored for truth in truths])
    masks = semantic = None
    if all(truth.masks is not None for truth in truths):
        masks = _zeros((*valid.shape, *size), torch.uint8)
        for target, truth in zip(masks.numpy(), truths):
            count, h, w = truth.masks.shape
            target[:count, :h, :w] = truth.masks
    if all(truth.semantic is not None for truth in truths):
        stride = max(_stride(sample) for sample in samples)
        shape = (len(truths), *(-(-edge // stride) for edge in size))
        semantic = _zeros(shape, torch.uint8).fill_(SEMANTIC_IGNORE)
        for target, truth in zip(semantic.numpy(), truths):
            h, w = truth.semantic.shape
            target[:h, :w] = truth.semantic
    return GroundTruth(boxes, labels, ignored, masks, semantic, valid, ignored_valid)


def _stride(sample: Sample) -> int:
    """Input pixels per pixel of the semantic map (SegRescale), which has ceil(edge / stride)."""
    pairs = zip(sample.meta.input_size, sample.truth.semantic.shape)
    return max(-(-edge // pixels) for edge, pixels in pairs)


def _rows(arrays: list[np.ndarray], fill: float = 0) -> tuple[Tensor, Tensor]:
    """Arrays (count, ...) as one tensor (N, most, ...) and which rows are real (N, most)."""
    most = max(1, *(len(array) for array in arrays))
    shape = (len(arrays), most, *arrays[0].shape[1:])
    rows, valid = np.full(shape, fill, arrays[0].dtype), np.zeros(shape[:2], bool)
    for i, array in enumerate(arrays):
        rows[i, : len(array)] = array
        valid[i, : len(array)] = True
    return torch.from_numpy(rows), torch.from_numpy(valid)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A zero tensor; in a worker it lies in shared memory, so that it is not copied on its way."""
    if get_worker_info() is None:
        return torch.zeros(shape, dtype=dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(size)
    return torch.empty(0, dtype=dtype).set_(storage, 0, shape)
