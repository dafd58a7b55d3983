"""RoIAlign over a feature pyramid (Mask R-CNN, arXiv 1703.06870; levels: FPN, arXiv 1612.03144)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import library


def roi_align(
    features: Tensor | Sequence[Tensor],
    rois: Tensor,
    output_size: int | tuple[int, int],
    strides: float | Sequence[float],
    sampling_ratio: int,
    half_pixel: bool,
    levels: Tensor | None = None,
    finest_scale: float = 56,
) -> Tensor:
    """Cut rois out of feature maps: the mean of bilinear samples in each of ``h * w`` bins.

    All levels and images are one kernel. Contiguous and channels_last maps are read where they are.
    The gradient goes to the features only; it is deterministic on the CPU, and on CUDA under
    ``torch.use_deterministic_algorithms(True)``.

    Args:
        features: one map or one per level, each (N, C, Hi, Wi), float32, float64, float16 or
            bfloat16; sums are float32 for the half-precision types.
        rois: (R, 5) ``[image, x1, y1, x2, y2]``, continuous pixels of the network input; float32,
            or float64 beside float64 features. A row with a negative image index is padding: its
            output is 0 and it gives no gradient.
        output_size: bins, one number or (h, w).
        strides: input pixels per feature pixel, one for each level.
        sampling_ratio: samples per bin and axis; 0 takes one for every feature pixel of the bin,
            rounded up, per roi.
        half_pixel: where the centre of the first pixel lies. True: at 0.5, sizes unclamped
            (mmdetection 2 and 3, "aligned"); False: at 0, sizes clamped at 0 (the 2019 releases,
            with inclusive boxes written as (x1, y1, x2 + 1, y2 + 1)). An adaptive bin without area
            is 0, where those releases had NaN.
        levels: (R,) int64, the level of each roi; None picks it in the kernel from the size:
            ``clamp(floor(log2(sqrt(w * h) / finest_scale + 1e-6)), 0, number of levels - 1)``.
        finest_scale: the size below twice of which a roi belongs to level 0, input pixels.

    Returns:
        (R, C, h, w), contiguous, dtype of the features.

    Raises:
        RuntimeError: wrong shapes, dtypes or devices; on the CPU also an image index of N or more
            or a level that is not there. On CUDA, where checking would wait for the device, such
            rows are treated as padding.
    """
    # One map and one stride are a pyramid of one level.
    maps = [features] if isinstance(features, Tensor) else list(features)
    strides = [strides] if isinstance(strides, (int, float)) else strides
    height, width = (output_size,) * 2 if isinstance(output_size, int) else output_size
    return library.operators.roi_align(
        maps,
        rois,
        levels,
        [1 / stride for stride in strides],
        finest_scale,
        height,
        width,
        sampling_ratio,
        half_pixel,
    )


def _is_channels_last(maps: Sequence[Tensor]) -> bool:
    return all(
        map_.is_contiguous(memory_format=torch.channels_last) and not map_.is_contiguous()
        for map_ in maps
    )


def _sizes(maps: Sequence[Tensor]) -> list[int]:
    # N, C, then h and w of every level.
    return [*maps[0].shape[:2], *(size for map_ in maps for size in map_.shape[2:])]


def _forward_shape(features, rois, levels, scales, finest_scale, height, width, *_):
    return features[0].new_empty(rois.shape[0], features[0].shape[1], height, width)


def _backward_shapes(grad, rois, levels, sizes, channels_last, *_):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, channels, *spatial = sizes
    return [
        torch.empty(
            (images, channels, height, width),
            dtype=grad.dtype,
            device=grad.device,
            memory_format=layout,
        )
        for height, width in zip(spatial[::2], spatial[1::2])
    ]


def _keep_for_backward(ctx, inputs, output):
    features, rois, levels, scales, finest_scale, _, _, sampling_ratio, half_pixel = inputs
    ctx.save_for_backward(rois, levels)
    ctx.layout = _sizes(features), _is_channels_last(features)
    ctx.options = scales, finest_scale, sampling_ratio, half_pixel


def _backward(ctx, grad):
    rois, levels = ctx.saved_tensors
    deterministic = torch.are_deterministic_algorithms_enabled()
    grads = library.operators.roi_align_backward(
        grad, rois, levels, *ctx.layout, *ctx.options, deterministic
    )
    # Gradients of the features only.
    return grads, *[None] * 8


def _keep_for_double_backward(ctx, inputs, output):
    grad, rois, levels, _, _, scales, finest_scale, *sampling, _ = inputs
    ctx.save_for_backward(rois, levels)
    ctx.arguments = scales, finest_scale, *grad.shape[2:], *sampling


def _double_backward(ctx, grads):
    """RoIAlign is linear in the features, so the gradient of its gradient is RoIAlign."""
    return library.operators.roi_align(grads, *ctx.saved_tensors, *ctx.arguments), *[None] * 9


if library.CPU.loaded:
    torch.library.register_fake('hrdet::roi_align', _forward_shape)
    torch.library.register_fake('hrdet::roi_align_backward', _backward_shapes)
    torch.library.register_autograd('hrdet::roi_align', _backward, setup_context=_keep_for_backward)
    torch.library.register_autograd(
        'hrdet::roi_align_backward', _double_backward, setup_context=_keep_for_double_backward
    )
