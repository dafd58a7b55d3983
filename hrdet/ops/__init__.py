"""Operators of hrdet with kernels of their own, for CPU and CUDA; sources in ``csrc``."""

from . import cpu, library
from .masks import encode_masks
from .nms import nms, soft_nms
from .resize import resize_window
from .roi_align import roi_align
from .winograd import winograd_conv, winograd_weight

cpu.limit()  # before the first operation

if library.TORCHVISION and library.CPU.loaded:
    from . import fallback

    fallback.register()

__all__ = [
    'encode_masks',
    'nms',
    'resize_window',
    'roi_align',
    'soft_nms',
    'winograd_conv',
    'winograd_weight',
]
