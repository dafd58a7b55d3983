"""Paste soft masks of boxes into images, as COCO's run-length encoding."""

import itertools

import torch
from torch import Tensor

from . import library


def encode_masks(
    probabilities: Tensor, boxes: Tensor, image_sizes: Tensor, threshold: float, inclusive: bool
) -> list[dict]:
    """Paste soft masks into their images and keep what exceeds a threshold.

    No full-size mask is made: the edges of each mask are searched column by column inside its box
    and written as runs. It runs on the CPU, one mask a thread; besides the result a thread needs
    about ``4 * (h + 2) * (w + 2) + 84 * (h + 2)`` bytes (6 kB for maps of 28 x 28), whatever the
    size of the image.

    Args:
        probabilities: (R, h, w) in [0, 1], on any device (copied to the CPU, which is little).
        boxes: (R, 4) continuous (x1, y1, x2, y2), pixels of the image; a mask is cut at its
            border, and a box without pixels gives an empty mask.
        image_sizes: (R, 2) int64 (h, w) of the image of each box.
        threshold: above 0.
        inclusive: True, the 2019 releases: the corners of the inclusive box are cut to whole
            pixels, the mask is resized to it as OpenCV does (bilinear, the outermost values
            continued), and pixels above the threshold count.  False, mmdetection 3: the mask
            is sampled at every pixel's centre (bilinear, zero outside), and pixels of at least the
            threshold count.

    Returns:
        R COCO RLE masks ``{'size': [h, w], 'counts': bytes}``, as pycocotools has them.

    Raises:
        ValueError: a threshold that is not positive.
        RuntimeError: wrong shapes, dtypes or image sizes.
    """
    if not threshold > 0:
        raise ValueError(f'encode_masks: threshold must be positive, not {threshold}')
    # The operator returns the run lengths of all masks as one text, and the end of each.
    probabilities, boxes = (part.detach().float().cpu() for part in (probabilities, boxes))
    image_sizes = image_sizes.cpu()
    text, ends = library.operators.encode_masks(
        probabilities, boxes, image_sizes, threshold, inclusive
    )
    text = text.numpy().tobytes()
    spans = itertools.pairwise([0, *ends.tolist()])
    return [
        {'size': size, 'counts': text[begin:end]}
        for size, (begin, end) in zip(image_sizes.tolist(), spans)
    ]


def _fake(probabilities: Tensor, boxes: Tensor, *_) -> tuple[Tensor, Tensor]:
    length = torch.library.get_ctx().new_dynamic_size()
    ends = boxes.new_empty(len(boxes), dtype=torch.int64)
    return boxes.new_empty(length, dtype=torch.uint8), ends


if library.CPU.loaded:
    torch.library.register_fake('hrdet::encode_masks', _fake)
