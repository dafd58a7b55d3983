"""Mask R-CNN in float64, from the words of the release: mask head, targets, loss and paste.

Conventions and names as in ``reference_regions``.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from tests.models import reference_regions as regional


def conv_relu(weights, name, x, padding=0):
    return F.relu(F.conv2d(x, weights[f'{name}.weight'], weights[f'{name}.bias'], padding=padding))


def embed(weights, prefix, x, previous=None):
    """The last of the head's 3x3 convolutions; what the head before it found comes in by 1x1."""
    if previous is not None:
        x = x + conv_relu(weights, f'{prefix}.conv_res.conv', previous)
    k = 0
    while f'{prefix}.convs.{k}.conv.weight' in weights:
        x, k = conv_relu(weights, f'{prefix}.convs.{k}.conv', x, padding=1), k + 1
    return x


def logits(weights, prefix, embedding):
    """(R, K, 2h, 2w)."""
    name = f'{prefix}.upsample'
    x = F.conv_transpose2d(embedding, weights[f'{name}.weight'], weights[f'{name}.bias'], stride=2)
    name = f'{prefix}.conv_logits'
    return F.conv2d(F.relu(x), weights[f'{name}.weight'], weights[f'{name}.bias'])


def target(mask, box, size, one):
    """The part of an object's mask (H, W) inside a box, as (size, size) of 0 and 1.

    2019: cut out at integer corners and resized as bytes.  Later: RoIAlign, at least a half.
    """
    if not one:
        feature = torch.from_numpy(mask[None].astype(float))
        return (regional.align(feature, box, 1.0, size, 0, 0)[0] >= 0.5).double()
    h, w = mask.shape
    x1, y1, x2, y2 = (int(side) for side in np.clip(box, 0, [w - 1, h - 1, w - 1, h - 1]))
    part = mask[y1 : y1 + max(y2 - y1 + 1, 1), x1 : x1 + max(x2 - x1 + 1, 1)]
    part = cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(part).double()


def mask_loss(predicted, samples, truths, one):
    """Mean binary cross entropy of the positives' own channels, over the batch.

    ``predicted`` are the logits of each image's positive regions, in the order of ``samples``.
    """
    losses = []
    for maps, sampled, truth in zip(predicted, samples, truths):
        for row, (box, g) in enumerate(zip(*sampled.positive())):
            own = maps[row, 0 if maps.shape[1] == 1 else truth.labels[g]]
            wanted = target(truth.masks[g], box, own.shape[-1], one)
            losses.append(F.binary_cross_entropy_with_logits(own, wanted))
    return torch.stack(losses).mean()


def paste(probability, box, size, one):
    """A mask's probabilities (m, m) as an image of ``size`` (h, w), 0 outside its box."""
    out, m = np.zeros(size), len(probability)
    if one:
        x1, y1, x2, y2 = (int(side) for side in box)
        w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
        across, down = stretched(w, m), stretched(h, m)
        resized = down @ probability @ across.T
        for y in range(max(y1, 0), min(y1 + h, size[0])):
            for x in range(max(x1, 0), min(x1 + w, size[1])):
                out[y, x] = resized[y - y1, x - x1]
        return out
    axes = []
    for low, high, length in ((box[1], box[3], size[0]), (box[0], box[2], size[1])):
        axis = np.zeros((length, m))
        for pixel in range(length):
            at = (pixel + 0.5 - low) / (high - low) * m - 0.5
            for cell in range(m):  # 0 beyond the map's border
                axis[pixel, cell] = max(0, 1 - abs(at - cell))
        axes.append(axis)
    return axes[0] @ probability @ axes[1].T


def stretched(length, m):
    """(length, m) of a bilinear resize whose border repeats itself."""
    out = np.zeros((length, m))
    for pixel in range(length):
        at = min(max((pixel + 0.5) * m / length - 0.5, 0), m - 1)
        low = min(int(at), m - 2)
        out[pixel, low], out[pixel, low + 1] = low + 1 - at, at - low
    return out


def losses(pyramids, proposals, truths, weights, recipe):
    """Faster R-CNN's two losses and that of the masks, of a batch."""
    samples, boxes, masks = [], [], []
    for pyramid, rois, truth in zip(pyramids, proposals, truths):
        sampled = regional.sample(rois, truth, recipe.overlaps[0], recipe.one)
        x = regional.regions(pyramid, sampled.rois, recipe.box_size, recipe)
        boxes.append(regional.box_head(weights, 'bbox_head', x))
        x = regional.regions(pyramid, sampled.positive()[0], recipe.mask_size, recipe)
        masks.append(logits(weights, 'mask_head', embed(weights, 'mask_head', x)))
        samples.append(sampled)
    out = regional.box_losses(boxes, samples, truths, recipe, 0)
    out['loss_mask'] = mask_loss(masks, samples, truths, recipe.one)
    return out


def detect(views, proposals, weights, recipe):
    """Detections of an image from its views; ``proposals`` and results in original pixels."""
    scores, boxes = [], []
    for view in views:
        rois = view.forth(proposals, recipe.one)
        x = regional.regions(view.pyramid, rois, recipe.box_size, recipe)
        cls, deltas = regional.box_head(weights, 'bbox_head', x)
        own = [
            [regional.release.decode(r, d, recipe.stds[0], view.size, recipe.one) for d in row]
            for r, row in zip(rois, deltas.numpy())
        ]
        boxes.append(view.back(own, recipe.one).reshape(len(rois), -1, 4))
        scores.append(cls.softmax(1)[:, :-1].numpy())
    return regional.detections(np.mean(boxes, 0), np.mean(scores, 0), recipe)


def segment(views, found, weights, recipe):
    """Mask probabilities (D, m, m) of detections, the mean over an image's views."""
    out = []
    for view in views:
        rois = view.forth([box for _, _, box in found], recipe.one)
        x = regional.regions(view.pyramid, rois, recipe.mask_size, recipe)
        maps = logits(weights, 'mask_head', embed(weights, 'mask_head', x)).sigmoid().numpy()
        own = own_channel(maps, found)
        out.append(own[..., ::-1] if view.flipped else own)
    return np.mean(out, 0)


def own_channel(maps, found):
    """Of maps (D, K or 1, m, m) each detection's own (D, m, m)."""
    rows = [maps[d, 0 if maps.shape[1] == 1 else k] for d, (_, k, _) in enumerate(found)]
    return np.array(rows).reshape(-1, *maps.shape[2:])
