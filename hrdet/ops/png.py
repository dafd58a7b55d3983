"""Rows of a PNG to pixels, while images are loaded."""

import numpy as np
import torch
from torch import Tensor

from . import library

AVAILABLE = library.CPU.loaded and hasattr(torch.ops.hrdet, 'png_unfilter')


def png_unfilter(rows: bytearray, size: tuple[int, int], channels: int) -> np.ndarray:
    """Undo the filters of PNG's rows (PNG specification, section 9).

    Args:
        rows: h rows of one byte, the row's filter, and w pixels.
        size: (h, w).
        channels: 1 or 3 bytes a pixel.

    Returns:
        (h, w, channels) uint8, in the order of the file (RGB).

    Raises:
        RuntimeError: another number of bytes; a filter that does not exist.
    """
    data = torch.frombuffer(rows, dtype=torch.uint8)
    library.require(data)
    return torch.ops.hrdet.png_unfilter(data, *size, channels).numpy()


def _fake(rows: Tensor, height: int, width: int, channels: int) -> Tensor:
    return rows.new_empty(height, width, channels)


if AVAILABLE:
    torch.library.register_fake('hrdet::png_unfilter', _fake)
