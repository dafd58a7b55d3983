"""Segmentations of a COCO file as masks."""

import numpy as np
from pycocotools import mask as coco_mask


def rasterise(segmentation: list | dict, size: tuple[int, int]) -> np.ndarray:
    """The mask (h, w) uint8 of 0 and 1 of polygons, or of an RLE with counts as list or text."""
    h, w = size
    # Three forms: polygons, an RLE with counts as a list, a compressed RLE.
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, h, w))
    elif isinstance(segmentation['counts'], list):
        rle = coco_mask.frPyObjects(segmentation, *segmentation['size'])
    else:
        rle = segmentation
    mask = coco_mask.decode(rle)
    if mask.shape != size:
        raise ValueError(f'an RLE of size {mask.shape} on an image of size {size}, as (h, w)')
    return mask
