"""Faster R-CNN's arithmetic as the 2019 release states it: loops, float64, inclusive corners.

Written from the formulae of the papers and the release's numbers, one image and one box at a time,
so that it shares nothing with the code under test.  ``one`` is what a width exceeds the difference
of its corners by: 1 in 2019; 0 gives mmdetection 2 and 3.
"""

import math

import numpy as np

CLAMP = abs(math.log(16 / 1000))


def iou(a, b, one=1):
    w = min(a[2], b[2]) - max(a[0], b[0]) + one
    h = min(a[3], b[3]) - max(a[1], b[1]) + one
    inter = max(w, 0) * max(h, 0)
    area = lambda r: (r[2] - r[0] + one) * (r[3] - r[1] + one)  # noqa: E731
    union = area(a) + area(b) - inter
    return inter / union if union > 0 else 0


def encode(box, target, stds, one=1):
    pw, ph = box[2] - box[0] + one, box[3] - box[1] + one
    gw, gh = target[2] - target[0] + one, target[3] - target[1] + one
    dx = ((target[0] + target[2]) - (box[0] + box[2])) / 2 / pw
    dy = ((target[1] + target[3]) - (box[1] + box[3])) / 2 / ph
    return np.array([dx, dy, math.log(gw / pw), math.log(gh / ph)]) / stds


def decode(box, delta, stds, size, one=1):
    dx, dy, dw, dh = np.asarray(delta, float) * stds
    dw, dh = np.clip([dw, dh], -CLAMP, CLAMP)
    pw, ph = box[2] - box[0] + one, box[3] - box[1] + one
    cx, cy = (box[0] + box[2]) / 2 + dx * pw, (box[1] + box[3]) / 2 + dy * ph
    gw, gh = pw * math.exp(dw), ph * math.exp(dh)
    x1, y1 = cx - gw / 2 + one / 2, cy - gh / 2 + one / 2
    x2, y2 = cx + gw / 2 - one / 2, cy + gh / 2 - one / 2
    h, w = size
    return np.clip([x1, y1, x2, y2], 0, [w - one, h - one, w - one, h - one])


def anchors(stride, scale, ratios, feature_size):
    centre = (stride - 1) / 2
    base = []
    for ratio in ratios:
        w, h = stride * scale / math.sqrt(ratio), stride * scale * math.sqrt(ratio)
        half = np.array([(w - 1) / 2, (h - 1) / 2])
        base.append(np.round([*(centre - half), *(centre + half)]))
    rows = []
    for y in range(feature_size[0]):
        for x in range(feature_size[1]):
            rows += [b + np.array([x, y, x, y]) * stride for b in base]
    return np.array(rows)


def assign(boxes, truths, pos, neg, minimum, one=1):
    """Index of the object of each box, -1 for background, -2 for neither."""
    overlaps = np.array([[iou(b, t, one) for t in truths] for b in boxes])
    out = np.full(len(boxes), -2)
    out[overlaps.max(1) < neg] = -1
    matched = overlaps.max(1) >= pos
    out[matched] = overlaps.argmax(1)[matched]
    for g in range(len(truths)):
        best = overlaps[:, g].max()
        if best >= minimum:
            out[overlaps[:, g] == best] = g
    return out


def smooth_l1(x, beta):
    x = np.abs(x)
    return np.where(x < beta, 0.5 * x * x / beta, x - 0.5 * beta).sum()


def nms(boxes, scores, threshold, one=1):
    """Kept indices, best first."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(iou(boxes[i], boxes[j], one) <= threshold for j in kept):
            kept.append(i)
    return kept
