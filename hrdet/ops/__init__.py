"""Operators of hrdet with kernels of their own, for CPU and CUDA; sources in ``csrc``."""

from .nms import nms, soft_nms
from .roi_align import roi_align

__all__ = ['nms', 'roi_align', 'soft_nms']
