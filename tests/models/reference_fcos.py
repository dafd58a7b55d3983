"""FCOS as mmdetection states it: loops over points, float64, boxes with their own corners.

``one`` is what a width exceeds the difference of its corners by: 1 for mmdetection 1, 0 for
mmdetection 2 and 3.  In the former it stands in areas and overlaps only.
"""

import math
from dataclasses import dataclass

import numpy as np

from tests.models.reference_2019 import iou, nms


@dataclass
class Level:
    """What the head says about one image on one level; ``logs`` are log distances."""

    stride: int
    size: tuple  # (h, w)
    limits: tuple  # least and largest distance
    logits: np.ndarray  # (P, K)
    logs: np.ndarray  # (P, 4)
    centre: np.ndarray  # (P,)

    def points(self, one):
        half = self.stride // 2 if one else self.stride / 2
        h, w = self.size
        return [
            (x * self.stride + half, y * self.stride + half) for y in range(h) for x in range(w)
        ]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def around(point, distances):
    (x, y), (left, top, right, bottom) = point, distances
    return x - left, y - top, x + right, y + bottom


def target(point, level, boxes, one, radius):
    """The object of a point and its distances to the sides, or (None, None)."""
    (x, y), best = point, (math.inf, None, None)
    for g, (x1, y1, x2, y2) in enumerate(boxes):
        sides = x - x1, y - y1, x2 - x, y2 - y
        cx, cy, r = (x1 + x2) / 2, (y1 + y2) / 2, (radius or math.inf) * level.stride
        central = abs(x - cx) < r and abs(y - cy) < r
        area = (x2 - x1 + one) * (y2 - y1 + one)
        fits = level.limits[0] <= max(sides) <= level.limits[1]
        if min(sides) > 0 and central and fits and area < best[0]:
            best = area, g, sides
    return best[1:]


def focal(logit, positive):
    p = sigmoid(logit)
    if positive:
        return -0.25 * (1 - p) ** 2 * math.log(p)
    return -0.75 * p**2 * math.log(1 - p)


def loss_sums(levels, boxes, labels, one, radius=None):
    """Of one image: summed losses of classes, boxes and centre-ness, positives, their weight."""
    sums = dict(cls=0.0, bbox=0.0, centre=0.0, positives=0, weight=0.0)
    for level in levels:
        for p, point in enumerate(level.points(one)):
            g, sides = target(point, level, boxes, one, radius)
            for k, logit in enumerate(level.logits[p]):
                sums['cls'] += focal(logit, g is not None and labels[g] == k)
            if g is None:
                continue
            left, top, right, bottom = sides
            across = min(left, right) / max(left, right)
            down = min(top, bottom) / max(top, bottom)
            c = math.sqrt(across * down)
            overlap = iou(around(point, np.exp(level.logs[p])), around(point, sides), one)
            q = sigmoid(level.centre[p])
            sums['bbox'] += c * -math.log(max(overlap, 1e-6))
            sums['centre'] += -c * math.log(q) - (1 - c) * math.log(1 - q)
            sums['positives'] += 1
            sums['weight'] += c
    return sums


def losses(images, one):
    """The losses of a batch from the ``loss_sums`` of its images."""
    total = {key: sum(image[key] for image in images) for key in images[0]}
    positives = total['positives']
    return {
        'loss_cls': total['cls'] / (positives + len(images) if one else max(positives, 1)),
        'loss_bbox': total['bbox'] / total['weight'] if positives else 0.0,
        'loss_centerness': total['centre'] / positives if positives else 0.0,
    }


def level_candidates(level, one, size, nms_pre, score_thr):
    """(class, score, box) of the pairs of points and classes that go into the NMS."""
    points = level.points(one)
    classes = [[sigmoid(x) for x in row] for row in level.logits]
    centre = [sigmoid(x) for x in level.centre]
    if one:
        order = sorted(range(len(points)), key=lambda p: -max(classes[p]) * centre[p])
        pairs = [(p, k) for p in order[:nms_pre] for k in range(len(classes[p]))]
        pairs = [(p, k) for p, k in pairs if classes[p][k] > score_thr]
    else:
        pairs = [(p, k) for p in range(len(points)) for k in range(len(classes[p]))]
        pairs = [(p, k) for p, k in pairs if classes[p][k] > score_thr]
        pairs = sorted(pairs, key=lambda pair: -classes[pair[0]][pair[1]])[:nms_pre]
    limits = np.array([size[1], size[0], size[1], size[0]]) - one
    for p, k in pairs:
        box = np.clip(around(points[p], np.exp(level.logs[p])), 0, limits)
        yield k, classes[p][k] * centre[p], box


def detect(views, one, nms_pre=1000, min_size=0.0, score_thr=0.05, iou_thr=0.5, max_per_img=100):
    """(score, class, box) of one image, best first.

    ``views`` are (levels, input size, scale (x, y), mirrored) of the same image.
    """
    found = []
    for levels, size, (sx, sy), mirrored in views:
        for level in levels:
            for k, score, box in level_candidates(level, one, size, nms_pre, score_thr):
                x1, y1, x2, y2 = box
                if mirrored:
                    x1, x2 = size[1] - one - x2, size[1] - one - x1
                box = x1 / sx, y1 / sy, x2 / sx, y2 / sy
                if one or min(box[2] - box[0], box[3] - box[1]) > min_size:
                    found.append((score, k, box))
    kept = []
    for k in {k for _, k, _ in found}:
        of_class = [f for f in found if f[1] == k]
        indices = nms([f[2] for f in of_class], [f[0] for f in of_class], iou_thr, one)
        kept += [of_class[i] for i in indices]
    return sorted(kept, key=lambda f: -f[0])[:max_per_img]
