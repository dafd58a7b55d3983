"""What the second stages share, in float64: region features, samples, box heads, detections.

Boxes are (x1, y1, x2, y2) as the model's convention writes them; ``one`` as in ``reference_2019``.
``weights`` maps the names of a state_dict, in mmdetection 3's spelling, to float64 tensors, through
which gradients may flow.  One image, one region, one axis at a time.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from tests.models import reference_2019 as release


@dataclass
class Recipe:
    """The numbers of a second stage, a list entry for each stage where there are several."""

    one: int
    classes: int
    strides: list
    finest: float
    box_size: int  # bins of a region, for its box and for its mask
    mask_size: int
    samples: int = 2  # a bin and axis; 0: as many as the bin has feature pixels
    stds: list = field(default_factory=lambda: [np.array([0.1, 0.1, 0.2, 0.2])])
    overlaps: list = field(default_factory=lambda: [0.5])
    stage_weights: list = field(default_factory=lambda: [1.0])
    score_thr: float = 0.05
    nms_thr: float = 0.5
    max_per_img: int = 100


@dataclass
class Truth:
    boxes: np.ndarray  # (G, 4)
    labels: list
    masks: np.ndarray  # (G, H, W) uint8, as large as the padded batch


@dataclass
class View:
    """One image in one of its forms; ``pyramid`` are its maps (C, h, w), finest first."""

    pyramid: list
    size: tuple
    scale: tuple = (1.0, 1.0)
    flipped: bool = False

    def back(self, boxes, one):
        """From pixels of this form to those of the original."""
        out = np.array(boxes, float).reshape(-1, 4)
        if self.flipped:
            out[:, [0, 2]] = self.size[1] - out[:, [2, 0]] - one
        return out / np.array([*self.scale, *self.scale])

    def forth(self, boxes, one):
        out = np.array(boxes, float).reshape(-1, 4) * np.array([*self.scale, *self.scale])
        if self.flipped:
            out[:, [0, 2]] = self.size[1] - out[:, [2, 0]] - one
        return out


def bin_weights(start, size, bins, samples, length):
    """(bins, length): how much each pixel of an axis adds to the mean of each bin's samples."""
    out = np.zeros((bins, length))
    samples = samples or math.ceil(size / bins)
    for p in range(bins):
        for i in range(samples):
            at = start + (p + (i + 0.5) / samples) * size / bins
            if at < -1 or at > length:
                continue
            at = max(at, 0)
            low = math.floor(at)
            if low >= length - 1:
                out[p, length - 1] += 1 / samples
            else:
                out[p, low] += (low + 1 - at) / samples
                out[p, low + 1] += (at - low) / samples
    return torch.from_numpy(out)


def align(feature, box, scale, bins, samples, one):
    """RoIAlign of one box: (C, bins, bins); 2019's with +1, else half a pixel to the left."""
    axes = []
    for side, length in ((1, feature.shape[1]), (0, feature.shape[2])):
        half = 0 if one else 0.5
        start, end = box[side] * scale - half, (box[side + 2] + one) * scale - half
        size = max(end - start, 0) if one else end - start
        axes.append(bin_weights(start, size, bins, samples, length))
    return torch.einsum('ph,chw,qw->cpq', axes[0], feature, axes[1])


def level(box, recipe):
    area = (box[2] - box[0] + recipe.one) * (box[3] - box[1] + recipe.one)
    if area <= 0:
        return 0
    wanted = math.floor(math.log2(math.sqrt(area) / recipe.finest + 1e-6))
    return min(max(wanted, 0), len(recipe.strides) - 1)


def regions(pyramid, boxes, bins, recipe):
    """(R, C, bins, bins) of one image."""
    rows = []
    for box in boxes:
        chosen = level(box, recipe)
        scale = 1 / recipe.strides[chosen]
        rows.append(align(pyramid[chosen], box, scale, bins, recipe.samples, recipe.one))
    if not rows:
        return torch.zeros(0, pyramid[0].shape[0], bins, bins, dtype=torch.float64)
    return torch.stack(rows)


def box_head(weights, prefix, x):
    """Logits (R, K + 1) with the background last, and deltas (R, C, 4)."""
    x, k = x.flatten(1), 0
    while f'{prefix}.shared_fcs.{k}.weight' in weights:
        name = f'{prefix}.shared_fcs.{k}'
        x, k = F.relu(F.linear(x, weights[f'{name}.weight'], weights[f'{name}.bias'])), k + 1
    logits = F.linear(x, weights[f'{prefix}.fc_cls.weight'], weights[f'{prefix}.fc_cls.bias'])
    deltas = F.linear(x, weights[f'{prefix}.fc_reg.weight'], weights[f'{prefix}.fc_reg.bias'])
    return logits, deltas.reshape(len(x), -1, 4)


@dataclass
class Sampled:
    """All proposals of one image, with the objects themselves in front."""

    rois: np.ndarray
    gt: np.ndarray  # the object of each, -1 background
    is_truth: np.ndarray

    def positive(self):
        return self.rois[self.gt >= 0], self.gt[self.gt >= 0]


def sample(proposals, truth, overlap, one):
    """Every proposal, matched at one overlap (positive from it on, background below it)."""
    gt = np.zeros(0, int)
    if len(proposals):
        gt = release.assign(proposals, truth.boxes, overlap, overlap, overlap, one)
    count = len(truth.boxes)
    return Sampled(
        np.concatenate([truth.boxes, proposals]),
        np.concatenate([np.arange(count), gt]),
        np.arange(count + len(gt)) < count,
    )


def box_losses(outputs, samples, truths, recipe, stage):
    """Mean cross entropy and smooth L1 (beta 1) over all regions of all images."""
    cls = bbox = count = 0
    for (logits, deltas), sampled, truth in zip(outputs, samples, truths):
        labels = [truth.labels[g] if g >= 0 else recipe.classes for g in sampled.gt]
        cls = cls + F.cross_entropy(logits, torch.tensor(labels), reduction='sum')
        count += len(labels)
        for r, g in enumerate(sampled.gt):
            if g < 0:
                continue
            target = release.encode(sampled.rois[r], truth.boxes[g], recipe.stds[stage], recipe.one)
            own = deltas[r, 0 if deltas.shape[1] == 1 else labels[r]]
            x = (own - torch.from_numpy(target)).abs()
            bbox = bbox + torch.where(x < 1, x * x / 2, x - 0.5).sum()
    return {'loss_cls': cls / count, 'loss_bbox': bbox / count}


def refine(rois, logits, deltas, recipe, stage, size, labels=None):
    """The rois moved by this stage's deltas and clipped.

    Of a box for each class: that of the region's class in training, and for background, and in
    inference, that of the class with the best logit.
    """
    out = []
    for r, roi in enumerate(rois):
        column = 0
        if deltas.shape[1] > 1:
            column = int(logits[r, :-1].argmax())
            if labels is not None and labels[r] < recipe.classes:
                column = labels[r]
        delta = deltas[r, column].detach().numpy()
        out.append(release.decode(roi, delta, recipe.stds[stage], size, recipe.one))
    return np.array(out).reshape(-1, 4)


def detections(boxes, scores, recipe):
    """(score, label, box) of one image, best first; boxes (P, C, 4), scores (P, K)."""
    found = []
    for k in range(recipe.classes):
        rows = np.flatnonzero(scores[:, k] > recipe.score_thr)
        own = [boxes[r, 0 if boxes.shape[1] == 1 else k] for r in rows]
        kept = release.nms(own, scores[rows, k], recipe.nms_thr, recipe.one)
        found += [(scores[rows[j], k], k, own[j]) for j in kept]
    return sorted(found, key=lambda f: -f[0])[: recipe.max_per_img]


def merge_proposals(per_view, views, threshold, count, one):
    """Proposals (boxes, scores) of several views as one list in original pixels: one NMS."""
    boxes = np.concatenate([view.back(b, one) for view, (b, _) in zip(views, per_view)])
    scores = np.concatenate([np.asarray(s, float) for _, s in per_view])
    return boxes[release.nms(boxes, scores, threshold, one)[:count]]
