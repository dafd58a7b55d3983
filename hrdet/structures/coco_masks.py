"""Check the segmentations of a COCO file, and rasterise them to masks.

They are checked before pycocotools gets them: its C code leaves pixels that the run lengths do not
cover uninitialised, and follows the outline of a polygon of any size.
"""

import math

import numpy as np
from pycocotools import mask as coco_mask

_FARTHEST = 10  # times the larger side of the image, from its corner
_LONGEST = 60  # bits of a count; a longer code is invalid


def rasterise(segmentation: list | dict, size: tuple[int, int]) -> np.ndarray:
    """The mask (h, w) uint8 of 0 and 1 of polygons, or of an RLE with counts as list or text.

    Raises:
        ValueError: as ``check_segmentation``.
    """
    check_segmentation(segmentation, size)
    h, w = size
    if isinstance(segmentation, list):
        # The union of the polygons: a pixel of two of them is 1.
        return decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, h, w)))
    counts = segmentation['counts']
    counts = counts if isinstance(counts, list) else _run_lengths(counts)
    return decode(coco_mask.frPyObjects(dict(size=[h, w], counts=counts), h, w))


def decode(rle: dict) -> np.ndarray:
    """The mask (h, w) uint8 of a compressed RLE."""
    try:  # 20 times as fast, and without pycocotools' warning about numpy
        from hotcoco import mask
    except ImportError:
        mask = coco_mask
    return mask.decode(rle)


def check_segmentation(segmentation: object, size: tuple[int, int]) -> None:
    """Whether polygons or an RLE can become a mask of an image of ``size`` (h, w).

    Raises:
        ValueError: no polygons and no RLE; run lengths that do not cover the image exactly; a
            polygon that is no list of finite numbers near the image.
    """
    if isinstance(segmentation, list) and segmentation:
        farthest = _FARTHEST * max(size)
        for number, polygon in enumerate(segmentation):
            if not _is_plain(polygon, farthest):
                _check_polygon(number, polygon, farthest)
    elif isinstance(segmentation, dict) and segmentation:
        _check_run_lengths(segmentation, size)
    else:
        raise ValueError('no segmentation')


def outlines_nothing(segmentation: list | dict, size: tuple[int, int]) -> bool:
    """Whether all polygons of a checked segmentation lie beside the image, or no run is set."""
    h, w = size
    if isinstance(segmentation, list):
        corners = (np.reshape(polygon, (-1, 2)) for polygon in segmentation)
        return all(((xy.max(0) <= 0) | (xy.min(0) >= (w, h))).any() for xy in corners)
    # Runs of 0 and 1 alternate, so that every second count, from the second on, is a run of 1.
    counts = segmentation['counts']
    return not any((counts if isinstance(counts, list) else _run_lengths(counts))[1::2])


def _is_plain(polygon: object, farthest: float) -> bool:
    """Whether it surely passes ``_check_polygon``, which takes many times as long."""
    return (
        type(polygon) is list
        and len(polygon) >= 6
        and not len(polygon) % 2
        and {int, float}.issuperset(map(type, polygon))
        and -farthest <= min(polygon)
        and max(polygon) <= farthest
        and not math.isnan(sum(polygon))
    )


def _check_polygon(number: int, polygon: object, farthest: float) -> None:
    # Shape, count, type, finiteness, range: each test needs the ones before it.
    try:
        numbers = np.asarray(polygon)
    except ValueError:  # lists of several lengths
        numbers = np.empty((0, 0))
    if numbers.ndim != 1 or len(numbers) % 2:
        raise ValueError(
            f'polygon {number} is not a list of x, y pairs: a segmentation is [[x, y, x, y, ...], '
            f'...], not {str(polygon)[:60]}'
        )
    if len(numbers) < 6:
        raise ValueError(f'polygon {number} has fewer than three points: {list(polygon)}')
    if numbers.dtype.kind not in 'iuf':
        raise ValueError(f'polygon {number} has coordinates that are not numbers')
    numbers = numbers.astype(np.float64)  # the absolute value of the least integer overflows
    if not np.isfinite(numbers).all():
        raise ValueError(f'polygon {number} has coordinates that are not finite')
    if not (np.abs(numbers) <= farthest).all():
        raise ValueError(
            f'polygon {number} has a coordinate that is no number within {farthest} pixels of its '
            f'image: {np.abs(numbers).max():g}'
        )


def _check_run_lengths(segmentation: dict, size: tuple[int, int]) -> None:
    absent = [key for key in ('counts', 'size') if key not in segmentation]
    if absent:
        raise ValueError(f'missing {absent[0]!r} in an RLE')
    found, counts = segmentation['size'], segmentation['counts']
    if not isinstance(found, (list, tuple)) or tuple(found) != tuple(size):
        raise ValueError(f'an RLE of size {found} on an image of size {list(size)}, as [h, w]')
    if not isinstance(counts, (list, str, bytes)):
        raise ValueError(f"the 'counts' of an RLE are a list or a text, not {counts!r}")
    counts = counts if isinstance(counts, list) else _run_lengths(counts)
    # The runs must cover the image exactly: pycocotools would leave the rest uninitialised.
    whole = all(type(count) is int and count >= 0 for count in counts)
    if not whole or sum(counts) != size[0] * size[1]:
        covered = f'cover {sum(counts)}' if whole else 'are not all whole numbers of'
        raise ValueError(
            f'the run lengths of an RLE {covered} pixels; the image has {size[0] * size[1]}'
        )


def _run_lengths(text: str | bytes) -> list[int]:
    """The counts of a compressed RLE: COCO's variable-length code of differences."""
    data = text.encode(errors='replace') if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for byte in data:
        # 1. Five bits of a number, lowest first; 32 says that more follow, 16 in the last is its
        #    sign.
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32 and shift < _LONGEST:
            continue
        if bits & 16:
            value |= -1 << shift
        # 2. From the fourth count on they are differences to the count before the last.
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
