"""Whether an exported file gives the results of its model.

Results are arrays by name, as ``predict_tensors`` returns them.  D rows of detections.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Arrays = dict[str, np.ndarray]

# Rounding alone: graphs are fused in other ways, and sums are taken in another order.
SCORES = 1e-3
BOXES = 0.05  # pixels of the input
MASKS = 0.01  # of a probability
CHANGED = 0.01  # of all labels, or detections: rounding decides near a threshold


@dataclass(frozen=True)
class Difference:
    """The largest difference of one kind of result, and how large it may be."""

    name: str
    value: float
    tolerance: float
    unit: str

    @property
    def too_large(self) -> bool:
        return not self.value <= self.tolerance

    def __str__(self) -> str:
        return f'{self.name} {self.value:.2g}{self.unit} (at most {self.tolerance:g})'


def place(
    picture: np.ndarray, size: tuple[int, int], padded: bool
) -> tuple[np.ndarray, tuple[int, int]]:
    """A picture (h, w, 3) as an input (3, H, W), and its own (h, w) in it.

    ``padded`` inputs keep its proportions and are 0 on the right or below; others are filled.
    """
    height, width = size
    h, w = size
    if padded:
        ratio = min(height / picture.shape[0], width / picture.shape[1])
        h, w = (max(round(edge * ratio), 1) for edge in picture.shape[:2])
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[:h, :w] = cv2.resize(picture, (w, h))
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)), (h, w)


def compare(expected: Arrays, found: Arrays) -> list[Difference]:
    """The differences between the results of a model and of its exported file."""
    if 'boxes' in expected:
        return _of_detections(expected, found)
    differences = []
    if 'scores' in expected:
        value = np.abs(expected['scores'] - found['scores']).max()
        differences.append(Difference('scores', float(value), SCORES, ''))
    if 'labels' in expected:
        share = float((expected['labels'] != found['labels']).mean())
        differences.append(Difference('labels', share, CHANGED, ' of the pixels'))
    return differences


def _of_detections(expected: Arrays, found: Arrays) -> list[Difference]:
    largest = dict(boxes=0.0, scores=0.0, masks=0.0)
    rows, unmatched = 0, 0
    for image, (count, other) in enumerate(zip(expected['counts'], found['counts'])):
        ours = {name: array[image, :count] for name, array in expected.items() if name != 'counts'}
        theirs = {name: array[image, :other] for name, array in found.items() if name != 'counts'}
        rows, unmatched = rows + max(count, other), unmatched + abs(int(count) - int(other))
        if not count or not other:
            continue
        # 1. For each of the D rows the nearest row of the same label: equal scores, and boxes that
        #    NMS found near its threshold, may change places.
        distances = np.abs(ours['boxes'][:, None] - theirs['boxes'][None]).max(-1)
        distances = np.where(ours['labels'][:, None] == theirs['labels'][None], distances, np.inf)
        nearest = distances.argmin(1)
        matched = distances.min(1) <= 1.0  # within a pixel; others have no counterpart
        unmatched += max(int((~matched).sum()) - max(int(count) - int(other), 0), 0)
        # 2. The largest difference of each part among the pairs.
        for name in largest:
            if name in ours and matched.any():
                difference = np.abs(ours[name][matched] - theirs[name][nearest[matched]]).max()
                largest[name] = max(largest[name], float(difference))
    share = unmatched / max(rows, 1)
    differences = [
        Difference('boxes', largest['boxes'], BOXES, ' pixels'),
        Difference('scores', largest['scores'], SCORES, ''),
        Difference('detections without a counterpart', share, CHANGED, f' of {rows}'),
    ]
    if 'masks' in expected:
        differences.append(Difference('masks', largest['masks'], MASKS, ''))
    return differences
