"""Segmentations of a COCO file as masks.

Everything is checked before pycocotools sees it: its C code fills only the pixels that run lengths
cover, and traces a polygon's outline however long it is.
"""

import numpy as np
from pycocotools import mask as coco_mask

_FARTHEST = 10  # times the larger side of the image, from its corner


def rasterise(segmentation: list | dict, size: tuple[int, int]) -> np.ndarray:
    """The mask (h, w) uint8 of 0 and 1 of polygons, or of an RLE with counts as list or text.

    Raises:
        ValueError: run lengths that do not cover the image exactly, or a polygon that is no list of
            finite numbers near the image.
    """
    h, w = size
    if isinstance(segmentation, list):
        for polygon in segmentation:
            _check_polygon(polygon, _FARTHEST * max(size))
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, h, w)))
    found = tuple(segmentation['size'])
    if found != size:
        raise ValueError(f'an RLE of size {found} on an image of size {size}, as (h, w)')
    counts = segmentation['counts']
    counts = counts if isinstance(counts, list) else _run_lengths(counts)
    whole = all(isinstance(count, int) and count >= 0 for count in counts)
    if not whole or sum(counts) != h * w:
        covered = f'cover {sum(counts)}' if whole else 'are not all whole numbers of'
        raise ValueError(f'the run lengths of an RLE {covered} pixels; the image has {h * w}')
    return coco_mask.decode(coco_mask.frPyObjects(dict(size=[h, w], counts=counts), h, w))


def _check_polygon(polygon: list | np.ndarray, farthest: float) -> None:
    numbers = np.asarray(polygon)
    if numbers.ndim != 1 or len(numbers) < 6 or len(numbers) % 2:
        raise ValueError('a polygon is a list of x, y, x, y, ... of three points or more')
    near = numbers.dtype.kind in 'iuf' and (np.abs(numbers) <= farthest).all()  # no NaN is
    if not near:
        raise ValueError(
            f'a polygon has a coordinate that is no number within {farthest} pixels of its image: '
            f'{list(polygon)[:12]}'
        )


def _run_lengths(text: str | bytes) -> list[int]:
    """The counts of a compressed RLE: COCO's variable-length code of differences."""
    data = text.encode() if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for byte in data:
        # 1. Five bits of a number, lowest first; 32 says that more follow, 16 in the last is its
        #    sign.
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value |= -1 << shift
        # 2. From the fourth count on they are differences to the count before the last.
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
