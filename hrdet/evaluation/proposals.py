"""Recall of class-agnostic proposals by the 2019 release's own matching.

HRNet-Object-Detection (``proposal_fast``): on every image the pair of object and proposal with the
largest IoU is matched and removed, until the objects or the proposals run out.  An object is
recalled at a threshold that the IoU of its match reaches.  Unlike COCO's matching, ignored objects
(crowds) are left out altogether.
"""

from collections.abc import Sequence

import numpy as np

from hrdet.evaluation.coco_annotations import CocoAnnotations

_THRESHOLDS = np.arange(0.5, 0.96, 0.05)


def fast_recall(truth: CocoAnnotations, columns: np.ndarray, limits: Sequence[int]) -> np.ndarray:
    """Recall (T, 1, 1, M) at ten IoU thresholds for M numbers of proposals per image.

    ``columns`` (R, 7) as in ``CocoAnnotations.columns``. -1 where there is no object.
    """
    objects: dict[int, list] = {image['id']: [] for image in truth.images}
    for annotation in truth.annotations:
        if not annotation['iscrowd'] and not annotation.get('ignore'):
            objects[annotation['image_id']].append(annotation['bbox'])
    # 1. Proposals (R, 7) by image, best score first; where each image starts.
    columns = columns[np.lexsort((-columns[:, 5], columns[:, 0]))]
    starts = np.searchsorted(columns[:, 0], [*objects, np.inf])
    # 2. For each limit the IoU of every object with its match, image by image.
    matched: list[list[np.ndarray]] = [[] for _ in limits]
    for boxes, start, end in zip(objects.values(), starts, starts[1:]):
        iou = _iou(np.array(boxes, np.float64).reshape(-1, 4), columns[start:end, 1:5])
        for collected, limit in zip(matched, limits):
            collected.append(_greedy_matches(iou[:, :limit]))
    # 3. The share of objects whose match reaches each threshold.
    recall = np.full((len(_THRESHOLDS), 1, 1, len(limits)), -1.0)
    for index, collected in enumerate(matched):
        best = np.concatenate(collected)
        if len(best):
            recall[:, 0, 0, index] = (best >= _THRESHOLDS[:, None]).mean(1)
    return recall


def _greedy_matches(iou: np.ndarray) -> np.ndarray:
    """IoU of every object (G, P) -> (G,) with the proposal it gets; 0 for those that get none."""
    iou, best = iou.copy(), np.zeros(len(iou))
    for _ in range(min(iou.shape)):
        row, column = np.unravel_index(iou.argmax(), iou.shape)
        best[row] = iou[row, column]
        iou[row], iou[:, column] = -1, -1
    return best


def _iou(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """(G, 4) and (P, 4) of x, y, w, h -> (G, P)."""
    corners1, corners2 = boxes1[:, None, :2] + boxes1[:, None, 2:], boxes2[:, :2] + boxes2[:, 2:]
    sides = np.minimum(corners1, corners2) - np.maximum(boxes1[:, None, :2], boxes2[:, :2])
    overlap = sides.clip(min=0).prod(-1)
    union = boxes1[:, None, 2:].prod(-1) + boxes2[:, 2:].prod(-1) - overlap
    return overlap / np.maximum(union, 1e-12)
