"""A window of a resized image, without computing the pixels around it."""

import numpy as np
import torch
from torch import Tensor

from . import library


def resize_window(
    image: np.ndarray, size: tuple[int, int], window: tuple[int, int, int, int]
) -> np.ndarray:
    """Pixels of an image resized to ``size`` as by ``cv2.resize`` with ``INTER_LINEAR``.

    The arithmetic is OpenCV's own for bytes, in 2048ths and with its roundings, so that every pixel
    is the one that a crop of the whole would have (measured on x86 with OpenCV 5.0; where OpenCV
    uses other code on another machine, they differ by one grey level at most).

    Args:
        image: (h, w, 3) uint8.
        size: (h, w) of the whole image after resizing.
        window: (top, left, h, w) in it.

    Returns:
        (h, w, 3) uint8, as large as the window.

    Raises:
        RuntimeError: a wrong shape or dtype; a window that is empty or not inside.
    """
    pixels = torch.from_numpy(np.require(image, requirements='CW'))  # no copy but for odd views
    return library.operators.resize_window(pixels, *size, *window).numpy()


def _fake(
    image: Tensor, new_height: int, new_width: int, top: int, left: int, height: int, width: int
) -> Tensor:
    return image.new_empty(height, width, 3)


if library.CPU.loaded:
    torch.library.register_fake('hrdet::resize_window', _fake)
