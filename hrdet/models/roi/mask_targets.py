"""What a mask head learns: the part of an object's mask that a box cuts out, at the head's size.

N images, G objects, S boxes an image.
"""

import torch
from torch import Tensor

from hrdet import ops
from hrdet.boxes import BoxConvention

# A weight in the 8-bit bilinear resize of OpenCV has 11 bits of fraction.
_ONE = 1 << 11


@torch.no_grad()
def mask_targets(
    masks: Tensor, boxes: Tensor, gt_index: Tensor, size: int, convention: BoxConvention | str
) -> Tensor:
    """The masks of objects inside boxes, resized.

    Args:
        masks: (N, G, H, W) uint8 of 0 and 1, pixels of the network input.
        boxes: (N, S, 4).
        gt_index: (N, S) int64, the object of each box.
        size: height and width of a target.
        convention: 'inclusive', the 2019 releases: whole pixels are cut out and resized as OpenCV
            resizes 8-bit images; only the pixels needed are read.  'continuous', mmdetection 2 and
            3: RoIAlign of the mask, then at least 0.5; one image's masks at a time are copied to
            float32 (G * H * W * 4 bytes).

    Returns:
        (N, S, size, size) float32 of 0 and 1.
    """
    if BoxConvention(convention).whole_pixel_masks:
        return _resized_crops(masks, boxes, gt_index, size)
    return torch.stack(
        [
            _aligned_crops(masks[image], boxes[image], gt_index[image], size)
            for image in range(len(masks))
        ]
    )


def _aligned_crops(masks: Tensor, boxes: Tensor, gt_index: Tensor, size: int) -> Tensor:
    """Of one image: masks (G, H, W), boxes (S, 4), gt_index (S,)."""
    rois = torch.cat([gt_index[:, None].to(boxes.dtype), boxes], 1)
    crops = ops.roi_align(masks[:, None].float(), rois, size, 1, sampling_ratio=0, half_pixel=True)
    return (crops.squeeze(1) >= 0.5).float()


def _resized_crops(masks: Tensor, boxes: Tensor, gt_index: Tensor, size: int) -> Tensor:
    """Bilinear in OpenCV's integers, so that a value at the threshold falls on the same side."""
    height, width = masks.shape[-2:]
    low_x, high_x, weight_x = _source_pixels(boxes[..., 0], boxes[..., 2], size, width)
    low_y, high_y, weight_y = _source_pixels(boxes[..., 1], boxes[..., 3], size, height)
    image = torch.arange(len(masks), device=masks.device)[:, None, None, None]
    objects = gt_index[..., None, None]

    def row(y: Tensor) -> Tensor:
        left, right = (
            masks[image, objects, y[..., None], x[..., None, :]] for x in (low_x, high_x)
        )
        weight = weight_x[..., None, :]
        return (left * (_ONE - weight) + right * weight) >> 4

    weight = weight_y[..., None]
    upper = (row(low_y) * (_ONE - weight)) >> 16
    lower = (row(high_y) * weight) >> 16
    return ((upper + lower + 2) >> 2).float()


def _source_pixels(
    low: Tensor, high: Tensor, size: int, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Along one axis, for each of ``size`` target pixels: two pixels and the second one's weight.

    The inclusive corners of the boxes (N, S) are cut to whole pixels of a mask of ``limit``.
    """
    first = low.clamp(0, limit - 1).long()
    last = (high - 1).clamp(0, limit - 1).long()
    extent = (last - first + 1).clamp(min=1)[..., None]
    target = torch.arange(size, device=low.device, dtype=torch.float64)
    source = ((target + 0.5) * (1 / (size / extent.double())) - 0.5).float()
    cell = source.floor()
    weight = ((source - cell) * _ONE).round().long()
    pixels = [first[..., None] + (cell.long() + k).clamp(min=0).minimum(extent - 1) for k in (0, 1)]
    return *pixels, weight
