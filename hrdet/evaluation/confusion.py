"""Segmentation metrics from exact integer counts of pixels.

K classes; matrices are (labels, predictions).
"""

import cv2
import numpy as np

from hrdet.structures.truth import SEMANTIC_IGNORE

_EXACT = 2**24  # the largest range of whole numbers that float32 holds


def confusion_matrix(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    ignore_index: int = SEMANTIC_IGNORE,
) -> np.ndarray:
    """Pixels counted by label and prediction.

    Row and column K count values that are not a class: their pixels are in no class's label (or
    prediction), but still count as predictions (or labels) of the other side's class, as in
    mmsegmentation.  Pixels labelled ``ignore_index`` are not counted at all.

    Args:
        prediction: class indices of any shape; uint8 is fastest.
        label: the same shape.
        num_classes: K.
        ignore_index: label of pixels that are not counted.

    Returns:
        (K + 1, K + 1) int64; matrices of several images may be added up.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f'the prediction has {prediction.shape} pixels, but the label map has {label.shape}'
        )
    side = num_classes + 1
    if prediction.dtype == label.dtype == np.uint8 and num_classes <= 256:
        counts = _count_bytes(prediction, label)  # (256, 256)
        if 0 <= ignore_index < 256:
            counts[ignore_index] = 0
        # Every class keeps its row and column; all other values share one row and column.
        starts = np.arange(min(side, 256))
        counts = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
        return np.pad(counts, (0, side - len(starts)))
    # Each pixel's (label, prediction) as one number, counted.
    pairs = _index(label, num_classes) * side + _index(prediction, num_classes)
    counts = np.bincount(pairs[label != ignore_index], minlength=side * side)
    return counts.reshape(side, side)


def iou_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of each class from a matrix of ``confusion_matrix``; fractions, unrounded.

    Returns:
        ``IoU``, ``Acc``, ``Dice``, ``Fscore``, ``Precision`` and ``Recall`` (K,) float64, nan where
        a class is in neither the labels nor the predictions (for ``Acc``, ``Fscore`` and
        ``Recall``: not in the labels), and ``aAcc``, a scalar: the share of all labelled pixels
        that are right.
    """
    # Pixels (K,) of each class: predicted right, labelled, predicted.
    right = np.diagonal(matrix)[:-1].astype(np.float64)
    labelled = matrix[:-1].sum(axis=1)
    predicted = matrix[:, :-1].sum(axis=0)
    with np.errstate(invalid='ignore', divide='ignore'):
        precision, recall = right / predicted, right / labelled
        return {
            'IoU': right / (labelled + predicted - right),
            'Acc': recall,
            'Dice': 2 * right / (labelled + predicted),
            'Fscore': 2 * precision * recall / (precision + recall),
            'Precision': precision,
            'Recall': recall,
            'aAcc': np.divide(right.sum(), labelled.sum()),
        }


def _count_bytes(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(256, 256) int64: how often each pair (label, prediction) of bytes occurs."""
    pair = [np.ascontiguousarray(side).reshape(-1, 1) for side in (label, prediction)]
    counts = np.zeros((256, 256), np.int64)
    # OpenCV's histogram is three times as fast as numpy's bincount, which needs int64 pixels.  It
    # returns float32, exact while no count exceeds 2^24, so a larger image is counted in parts.
    for start in range(0, len(pair[0]), _EXACT):
        part = [side[start : start + _EXACT] for side in pair]
        histogram = cv2.calcHist(part, [0, 1], None, [256, 256], [0, 256, 0, 256])
        counts += histogram.astype(np.int64)
    return counts


def _index(values: np.ndarray, num_classes: int) -> np.ndarray:
    """(...) int64: the class of each value, K for a value that is not a class."""
    values = values.astype(np.int64)
    return np.where((values >= 0) & (values < num_classes), values, num_classes)
