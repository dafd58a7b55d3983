"""What became of each detection and each object on one image.

The kinds of errors are those of TIDE (Bolya et al. 2020, section 2.2), at its thresholds.  hotcoco
counts them over a data set; this says which detection is which, to mark and to find it.
"""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as rle

from hrdet.structures import Detections, GroundTruth

MATCH, BACKGROUND = 0.5, 0.1  # IoU from which a detection is right, and up to which it hits nothing
ERRORS = {
    'class': 'an object of another class',
    'location': 'an object of its class, but the IoU is below 0.5',
    'both': 'an object of another class, and the IoU is below 0.5',
    'double': 'an object that a detection with a higher score has found',
    'background': 'no object',
    'missed': 'objects that no detection has found',
}


class Outcomes(NamedTuple):
    """``kinds`` of D detections: 'right', 'ignored' (crowd region) or an error; G ``found``."""

    kinds: list[str]
    found: np.ndarray  # (G,) bool


def outcomes(result: Detections, truth: GroundTruth) -> Outcomes:
    """Match the detections of one image with its objects, by masks where both sides have them."""
    result = result.numpy()
    labels, found = np.asarray(truth.labels), np.zeros(len(truth.boxes), bool)
    iou, crowd = _overlaps(result, truth)  # (D, G) and (D, I)
    same = result.labels[:, None] == labels[None]
    kinds = [''] * len(result)
    # COCO's matching: the best detection first, each takes the free object of its class with the
    # largest IoU.
    for index in np.argsort(-result.scores, kind='stable').tolist():
        own, other = np.where(same[index], iou[index], 0), np.where(same[index], 0, iou[index])
        free = np.where(found, 0, own)
        if free.max(initial=0) >= MATCH:
            found[free.argmax()] = True
            kinds[index] = 'right'
        elif crowd[index].max(initial=0) >= MATCH:
            kinds[index] = 'ignored'
        else:
            kinds[index] = _error(own.max(initial=0), other.max(initial=0))
    return Outcomes(kinds, found)


def _error(own: float, other: float) -> str:
    """The error of a detection by its largest IoU with objects of its class, and of others."""
    if BACKGROUND <= own < MATCH:
        return 'location'
    if other >= MATCH:
        return 'class'
    if own >= MATCH:
        return 'double'
    return 'background' if other <= BACKGROUND else 'both'


def _overlaps(result: Detections, truth: GroundTruth) -> tuple[np.ndarray, np.ndarray]:
    """IoU of detections and objects (D, G); share of detections in ignored regions (D, I)."""
    boxes = _sides(result.boxes)
    crowd = _matrix(boxes, _sides(truth.ignored), 1)
    if result.masks is None or truth.masks is None:
        return _matrix(boxes, _sides(truth.boxes), 0), crowd
    masks = [rle.encode(np.asfortranarray(mask, np.uint8)) for mask in truth.masks]
    return _matrix(result.masks, masks, 0), crowd


def _matrix(detections: list | np.ndarray, objects: list | np.ndarray, crowd: int) -> np.ndarray:
    if not len(detections) or not len(objects):
        return np.zeros((len(detections), len(objects)))
    return np.asarray(rle.iou(detections, objects, [crowd] * len(objects)))


def _sides(boxes: np.ndarray) -> np.ndarray:
    """Corners (n, 4) as x, y, width, height."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
