"""Torchvision's kernels for CUDA tensors on a machine where hrdet's own could not be built.

The results are the same up to rounding. Torchvision's limits remain: its backward of RoIAlign is
not deterministic (and reports it when determinism is requested), its NMS synchronises with the
device and takes one problem at a time, and soft-NMS runs in hrdet's own operator on the CPU.
"""

from typing import Any

import torch
from torch import Tensor

_FAR_AWAY = -1e5  # input pixels: all samples of such a roi lie outside every map and are 0


def _torchvision() -> Any:
    """Its operators; importing it takes a second, so that is left to the first call."""
    import torchvision  # noqa: F401  (registers them)

    return torch.ops.torchvision


def pyramid_levels(rois: Tensor, finest_scale: float, count: int) -> Tensor:
    """The FPN level (R,) of each roi by its size, as in ``csrc/common/roi_align.h``."""
    area = (rois[:, 3:] - rois[:, 1:3]).clamp(min=0).prod(dim=1)
    level = (area.sqrt() / finest_scale + 1e-6).log2().floor()
    return level.clamp(0, count - 1).long()


def rois_per_level(
    rois: Tensor, levels: Tensor, images: int, scales: list[float], half_pixel: bool
) -> list[Tensor]:
    """For each level all the rois (R, 5); rois of other levels and padding are moved far away.

    The 2019 convention is torchvision's aligned one on rois half a feature pixel further on, with
    sizes clamped at 0 first; its ``aligned=False`` would clamp them at 1.
    """
    # Index of the image (R, 1), corners (R, 4), and which rows are no padding (R, 1).
    image, corners = rois[:, :1], rois[:, 1:]
    inside = (image >= 0) & (image < images)
    if not half_pixel:
        corners = torch.cat([corners[:, :2], torch.maximum(corners[:, 2:], corners[:, :2])], dim=1)
    # Every level gets all R rows, so that shapes do not depend on the data.
    parts = []
    for level, scale in enumerate(scales):
        shifted = corners if half_pixel else corners + 0.5 / scale
        here = inside & (levels[:, None] == level)
        parts.append(torch.cat([image * inside, shifted.where(here, _FAR_AWAY)], dim=1))
    return parts


def roi_align(
    features, rois, levels, scales, finest_scale, height, width, sampling_ratio, half_pixel
):
    if levels is None:
        levels = pyramid_levels(rois, finest_scale, len(features))
    parts = rois_per_level(rois, levels, features[0].shape[0], scales, half_pixel)
    # A roi contributes on its own level, and 0 on the others: (R, C, h, w).
    out = rois.new_zeros(rois.shape[0], features[0].shape[1], height, width)
    for map_, part, scale in zip(features, parts, scales):
        # The half-precision kernels would take coordinates in half precision too.
        out += _torchvision().roi_align(
            map_.to(rois.dtype), part, scale, height, width, sampling_ratio, True
        )
    return out.to(features[0].dtype)


def roi_align_backward(
    grad,
    rois,
    levels,
    sizes,
    channels_last,
    scales,
    finest_scale,
    sampling_ratio,
    half_pixel,
    deterministic,
):
    # As in ``roi_align``: each level gets all rois, those of other levels moved away.
    images, channels, *spatial = sizes
    if levels is None:
        levels = pyramid_levels(rois, finest_scale, len(scales))
    parts = rois_per_level(rois, levels, images, scales, half_pixel)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    grads = []
    for part, scale, height, width in zip(parts, scales, spatial[::2], spatial[1::2]):
        map_ = _torchvision()._roi_align_backward(
            grad.to(rois.dtype),
            part,
            scale,
            *grad.shape[2:],
            images,
            channels,
            height,
            width,
            sampling_ratio,
            True,
        )
        grads.append(map_.to(grad.dtype).contiguous(memory_format=layout))
    return grads


def nms(boxes, scores, iou_threshold, max_output):
    shape = boxes.shape[0], max_output
    indices = boxes.new_zeros(shape, dtype=torch.int64)
    valid = boxes.new_zeros(shape, dtype=torch.bool)
    # NaN and -inf are padding.
    scores = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    for problem in range(boxes.shape[0]):
        keep = _torchvision().nms(boxes[problem], scores[problem], iou_threshold)
        keep = keep[scores[problem][keep] > -torch.inf][:max_output]
        indices[problem, : len(keep)] = keep
        valid[problem, : len(keep)] = True
    return indices, valid


def soft_nms(boxes, scores, *options):
    out = torch.ops.hrdet.soft_nms(boxes.cpu(), scores.cpu(), *options)
    return tuple(part.to(boxes.device) for part in out)


def register() -> None:
    """Make these the kernels of ``torch.ops.hrdet.*`` for CUDA tensors."""
    for kernel in (roi_align, roi_align_backward, nms, soft_nms):
        torch.library.impl(f'hrdet::{kernel.__name__}', 'cuda', kernel)
