"""Masks of regions: targets that the mask head is trained on, and results at the images' size.

N images, G objects and S boxes of each, R regions of all images, m: edge of a mask.
"""

from dataclasses import replace

import torch
from torch import Tensor

from hrdet import ops
from hrdet.boxes import BoxConvention
from hrdet.models.roi.extractor import batch_rois, valid_rows
from hrdet.models.roi.sampling import SamplingResult
from hrdet.structures import Detections, GroundTruth

# A weight in the 8-bit bilinear resize of OpenCV has 11 bits of fraction.
_ONE = 1 << 11


def mask_samples(
    positives: SamplingResult, truth: GroundTruth, size: int, convention: BoxConvention
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rois (R, 5), targets (R, m, m), labels (R,) and weights (R,) for a mask head.

    Of the rows (N, S) of ``positives`` those without an object have weight 0; on a CPU they are
    left out.
    """
    if truth.masks is None:
        raise ValueError('the mask head needs masks to train on: data.train.with_mask=True')
    boxes, valid = positives.boxes, positives.positive
    targets = mask_targets(truth.masks, boxes, positives.gt_index, size, convention)
    # Of the rows (N * S,), on a CPU only those with an object go through the head.
    rois = batch_rois(boxes, valid)
    rows = valid_rows(rois)
    labels, weight = positives.labels.flatten(), valid.flatten().float()
    return rois[rows], targets.flatten(0, 1)[rows], labels[rows], weight[rows]


def paste_masks(
    detections: list[Detections],
    masks: Tensor,
    sizes: list[tuple[int, int]],
    threshold: float,
    convention: BoxConvention,
) -> list[Detections]:
    """The detections with masks as COCO run lengths of the images' ``sizes`` (h, w).

    ``masks`` (N, D, m, m) on the CPU are probabilities inside the boxes; the first rows of each
    image belong to its detections.  A pixel belongs to an object above the threshold (or, with
    continuous boxes, from it).
    """
    counts = [len(detection) for detection in detections]
    # Detections of all images in one call; an image's own lie between its ends.
    encoded = ops.encode_masks(
        torch.cat([rows[:count] for rows, count in zip(masks, counts)]),
        torch.cat([detection.boxes for detection in detections]),
        torch.tensor(sizes).repeat_interleave(torch.tensor(counts), 0),
        threshold,
        convention.whole_pixel_masks,
    )
    ends = torch.tensor(counts).cumsum(0).tolist()
    return [
        replace(detection, masks=encoded[end - count : end])
        for detection, count, end in zip(detections, counts, ends)
    ]


@torch.no_grad()
def mask_targets(
    masks: Tensor, boxes: Tensor, gt_index: Tensor, size: int, convention: BoxConvention | str
) -> Tensor:
    """The masks of objects, cropped by boxes and resized.

    Args:
        masks: (N, G, H, W) uint8 of 0 and 1, pixels of the network input.
        boxes: (N, S, 4).
        gt_index: (N, S) int64, the object of each box.
        size: height and width of a target.
        convention: 'inclusive', the 2019 releases: whole pixels are cropped and resized as OpenCV
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
    """Of one image: masks (G, H, W), boxes (S, 4) and gt_index (S,) to (S, size, size)."""
    # The G masks are taken for a batch of G images with one channel.
    rois = torch.cat([gt_index[:, None].to(boxes.dtype), boxes], 1)
    crops = ops.roi_align(masks[:, None].float(), rois, size, 1, sampling_ratio=0, half_pixel=True)
    return (crops.squeeze(1) >= 0.5).float()


def _resized_crops(masks: Tensor, boxes: Tensor, gt_index: Tensor, size: int) -> Tensor:
    """Bilinear in OpenCV's integers, so that a value at the threshold falls on the same side."""
    # 1. For each target pixel two source columns, two source rows, and the second one's weight:
    #    (N, S, size) each.
    height, width = masks.shape[-2:]
    low_x, high_x, weight_x = _source_pixels(boxes[..., 0], boxes[..., 2], size, width)
    low_y, high_y, weight_y = _source_pixels(boxes[..., 1], boxes[..., 3], size, height)
    image = torch.arange(len(masks), device=masks.device)[:, None, None, None]
    objects = gt_index[..., None, None]

    # 2. Interpolate in x on both rows, then in y, rounding as OpenCV does: (N, S, size, size).
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
    # 1. First and last whole pixel of the crop, and its extent (N, S, 1).
    first = low.clamp(0, limit - 1).long()
    last = (high - 1).clamp(0, limit - 1).long()
    extent = (last - first + 1).clamp(min=1)[..., None]
    # 2. Where the centre of each target pixel lies in the crop: (N, S, size), half pixels as in
    #    OpenCV.
    target = torch.arange(size, device=low.device, dtype=torch.float64)
    source = ((target + 0.5) * (1 / (size / extent.double())) - 0.5).float()
    # 3. The pixels on both sides of it, within the crop, and the second one's weight in 2048ths.
    cell = source.floor()
    weight = ((source - cell) * _ONE).round().long()
    pixels = [first[..., None] + (cell.long() + k).clamp(min=0).minimum(extent - 1) for k in (0, 1)]
    return *pixels, weight
