"""Faster R-CNN's arithmetic as the 2019 release states it: loops, float64, inclusive corners.

Written from the formulae of the papers and the release's numbers, one image and one box at a time,
so that it shares nothing with the code under test.
"""

import math

import numpy as np

CLAMP = abs(math.log(16 / 1000))


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    inter = max(w, 0) * max(h, 0)
    area = lambda r: (r[2] - r[0] + 1) * (r[3] - r[1] + 1)  # noqa: E731
    return inter / (area(a) + area(b) - inter)


def encode(box, target, stds):
    pw, ph = box[2] - box[0] + 1, box[3] - box[1] + 1
    gw, gh = target[2] - target[0] + 1, target[3] - target[1] + 1
    dx = ((target[0] + target[2]) - (box[0] + box[2])) / 2 / pw
    dy = ((target[1] + target[3]) - (box[1] + box[3])) / 2 / ph
    return np.array([dx, dy, math.log(gw / pw), math.log(gh / ph)]) / stds


def decode(box, delta, stds, size):
    dx, dy, dw, dh = np.asarray(delta, float) * stds
    dw, dh = np.clip([dw, dh], -CLAMP, CLAMP)
    pw, ph = box[2] - box[0] + 1, box[3] - box[1] + 1
    cx, cy = (box[0] + box[2]) / 2 + dx * pw, (box[1] + box[3]) / 2 + dy * ph
    gw, gh = pw * math.exp(dw), ph * math.exp(dh)
    corners = [cx - gw / 2 + 0.5, cy - gh / 2 + 0.5, cx + gw / 2 - 0.5, cy + gh / 2 - 0.5]
    h, w = size
    return np.clip(corners, 0, [w - 1, h - 1, w - 1, h - 1])


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


def assign(boxes, truths, pos, neg, minimum):
    """Index of the object of each box, -1 for background, -2 for neither."""
    overlaps = np.array([[iou(b, t) for t in truths] for b in boxes])
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


def nms(boxes, scores, threshold):
    """Kept indices, best first."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept
