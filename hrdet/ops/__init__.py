"""Operators: thin Python functions over the compiled kernels of ``csrc``, for CPU and CUDA.

May change: how a kernel computes.  Must stay: results, which do not depend on processor or threads
beyond rounding, and a tested gradient.
"""

from . import cpu, library
from .add_upsampled import add_upsampled
from .argmax import interpolate_argmax
from .masks import encode_masks
from .nms import nms, soft_nms
from .png import png_unfilter
from .resize import resize_window
from .roi_align import roi_align
from .taps import Taps, bilinear_taps, nearest_taps
from .winograd import winograd_conv, winograd_conv2d, winograd_weight

cpu.limit()  # before the first operation

if library.TORCHVISION and library.CPU.loaded:
    from . import fallback

    fallback.register()
elif library.CPU.loaded and not library.CUDA.loaded:
    library.refuse_cuda()

__all__ = [
    'Taps',
    'add_upsampled',
    'bilinear_taps',
    'encode_masks',
    'interpolate_argmax',
    'nearest_taps',
    'nms',
    'png_unfilter',
    'resize_window',
    'roi_align',
    'soft_nms',
    'winograd_conv',
    'winograd_conv2d',
    'winograd_weight',
]
