"""What the operators should compute, one sample and one pair of boxes at a time, in Python numbers.

Written from the definitions, not from csrc: no separable weights, no bit masks, exact fractions for
the comparison with an IoU threshold.
"""

import math
from fractions import Fraction

import numpy as np


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """The value (C,) of an image (C, H, W) at a point; 0 further than a pixel outside."""
    _, height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[:, top, left] * (1 - (x - left)) + image[:, top, right] * (x - left)
    lower = image[:, bottom, left] * (1 - (x - left)) + image[:, bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def level_of(roi, finest_scale: float, levels: int) -> int:
    width, height = max(roi[3] - roi[1], 0), max(roi[4] - roi[2], 0)
    level = math.floor(math.log2(math.sqrt(width * height) / finest_scale + 1e-6))
    return min(max(level, 0), levels - 1)


def roi_align(maps, rois, height, width, strides, sampling_ratio, half_pixel, finest_scale=56):
    """(R, C, height, width) float64; maps are float64 arrays (N, C, Hi, Wi)."""
    out = np.zeros((len(rois), maps[0].shape[1], height, width))
    for r, roi in enumerate(rois):
        if roi[0] < 0:
            continue
        level = level_of(roi, finest_scale, len(maps))
        image = maps[level][int(roi[0])]
        x1, y1, x2, y2 = (side / strides[level] - 0.5 * half_pixel for side in roi[1:])
        roi_width, roi_height = x2 - x1, y2 - y1
        if not half_pixel:
            roi_width, roi_height = max(roi_width, 0), max(roi_height, 0)
        across = sampling_ratio or max(math.ceil(roi_width / width), 0)
        down = sampling_ratio or max(math.ceil(roi_height / height), 0)
        for ph in range(height):
            for pw in range(width):
                samples = [
                    bilinear(
                        image,
                        y1 + (ph + (i + 0.5) / down) * roi_height / height,
                        x1 + (pw + (j + 0.5) / across) * roi_width / width,
                    )
                    for i in range(down)
                    for j in range(across)
                ]
                if samples:
                    out[r, :, ph, pw] = np.mean(samples, axis=0)
    return out


def iou(a, b) -> Fraction:
    """The exact overlap of two boxes of whole numbers; two empty boxes have none."""
    sides = [int(side) for side in (*a, *b)]
    assert sides == [*a, *b]
    a, b = sides[:4], sides[4:]
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return Fraction(width * height, union) if union else Fraction(0)


def nms(boxes, scores, threshold: float, max_output: int) -> list[int]:
    order = sorted(
        (i for i in range(len(scores)) if scores[i] > -math.inf), key=lambda i: (-scores[i], i)
    )
    kept = []
    for i in order:
        if all(iou(boxes[i], boxes[k]) <= Fraction(threshold) for k in kept):
            kept.append(i)
    return kept[:max_output]


def soft_nms(boxes, scores, threshold, min_score, method, sigma, max_output):
    """[(index, score), ...] in the order of picking."""
    left = {i: float(score) for i, score in enumerate(scores) if score > -math.inf}
    picked = []
    while left and len(picked) < max_output:
        best = min(left, key=lambda i: (-left[i], i))
        picked.append((best, left.pop(best)))
        for i in list(left):
            overlap = float(iou(boxes[best], boxes[i]))
            if overlap == 0:
                continue
            if method == 'gaussian':
                left[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap > threshold:
                left[i] *= 1 - overlap
            if left[i] < min_score:
                del left[i]
    return picked
