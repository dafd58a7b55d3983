"""Pad arrays of single images to tensors of a batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A zero tensor; a data loader worker makes it in shared memory, which saves a copy later."""
    if get_worker_info() is None:
        return torch.zeros(shape, dtype=dtype)
    # Shared memory is zeroed by the system.
    size = int(np.prod(shape)) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(size)
    return torch.empty(0, dtype=dtype).set_(storage, 0, tuple(shape))


def pad_rows(arrays: Sequence[np.ndarray], fill: float = 0) -> tuple[Tensor, Tensor]:
    """Arrays (count, ...) as one tensor (N, largest count, ...), and which rows are real (N, ...).

    There is at least one row.
    """
    # (N, most, ...), the rest of each row filled.
    most = max(1, *(len(array) for array in arrays))
    shape = (len(arrays), most, *arrays[0].shape[1:])
    rows, valid = np.full(shape, fill, arrays[0].dtype), np.zeros(shape[:2], bool)
    for i, array in enumerate(arrays):
        rows[i, : len(array)] = array
        valid[i, : len(array)] = True
    return torch.from_numpy(rows), torch.from_numpy(valid)


def pad_maps(maps: Sequence[np.ndarray], size: Sequence[int], fill: int = 0) -> Tensor:
    """Maps (..., h, w) uint8 as one tensor (N, *size), filled on the right and below."""
    padded = zeros((len(maps), *size), torch.uint8)
    if fill:
        padded.fill_(fill)
    for target, image in zip(padded.numpy(), maps):
        target[tuple(slice(edge) for edge in image.shape)] = image
    return padded


def pad_masks(masks: Sequence[np.ndarray], size: tuple[int, int, int]) -> 'Tensor | PackedMasks':
    """Masks (count, h, w) of 0 and 1 as one tensor (N, *size), filled on the right and below."""
    if get_worker_info() is None:
        return pad_maps(masks, size)
    rows = [np.packbits(mask, axis=2) for mask in masks]
    return PackedMasks(pad_maps(rows, (*size[:2], -(-size[2] // 8))), size[2])


class PackedMasks:
    """Masks (N, G, H, W) on their way from a data loader worker: ``bits`` (N, G, H, W / 8).

    Where they arrive they are a tensor again.  Of 8 bytes one needs shared memory.
    """

    def __init__(self, bits: Tensor, width: int):
        self.bits, self.width = bits, width

    def __reduce__(self) -> tuple:
        return unpack_masks, (self.bits, self.width)


def unpack_masks(bits: Tensor, width: int) -> Tensor:
    """Masks (N, G, H, W) uint8 of 0 and 1 from their bits."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), axis=3, count=width))
