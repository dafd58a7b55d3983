"""Cascade R-CNN, with masks or without, in float64, from the words of the release.

Conventions and names as in ``reference_regions``; masks as in ``reference_mask``.
"""

import numpy as np

from tests.models import reference_2019 as release
from tests.models import reference_mask as masks
from tests.models import reference_regions as regional


def losses(pyramids, proposals, truths, sizes, weights, recipe):
    """``sK.loss_*`` of a batch; masks learn from the regions of the box branch."""
    out = {}
    with_mask = any(name.startswith('mask_head.') for name in weights)
    for stage, factor in enumerate(recipe.stage_weights):
        box_name, mask_name = f'bbox_head.{stage}', f'mask_head.{stage}'
        samples, outputs, maps = [], [], []
        for pyramid, rois, truth in zip(pyramids, proposals, truths):
            sampled = regional.sample(rois, truth, recipe.overlaps[stage], recipe.one)
            x = regional.regions(pyramid, sampled.rois, recipe.box_size, recipe)
            outputs.append(regional.box_head(weights, box_name, x))
            samples.append(sampled)
            if with_mask:
                x = regional.regions(pyramid, sampled.positive()[0], recipe.mask_size, recipe)
                embedding = masks.embed(weights, mask_name, x)
                maps.append(masks.logits(weights, mask_name, embedding))
        own = regional.box_losses(outputs, samples, truths, recipe, stage)
        if with_mask:
            own['loss_mask'] = masks.mask_loss(maps, samples, truths, recipe.one)
        out |= {f's{stage}.{name}': factor * loss for name, loss in own.items()}
        proposals = next_proposals(outputs, samples, truths, sizes, recipe, stage)
    return out


def next_proposals(outputs, samples, truths, sizes, recipe, stage):
    """All sampled regions, moved; those that were the objects themselves drop out."""
    moved = []
    for (logits, deltas), sampled, truth, size in zip(outputs, samples, truths, sizes):
        labels = [truth.labels[g] if g >= 0 else recipe.classes for g in sampled.gt]
        boxes = regional.refine(sampled.rois, logits, deltas, recipe, stage, size, labels)
        moved.append(boxes[~sampled.is_truth])
    return moved


def detect(views, proposals, weights, recipe, region_features=None):
    """Detections of an image from its views; ``proposals`` and results in original pixels.

    ``region_features(view, rois)`` replaces plain RoIAlign.
    """
    scores, boxes = [], []
    last = len(recipe.stds) - 1
    for view in views:
        rois, logits = view.forth(proposals, recipe.one), []
        for stage in range(last + 1):
            if region_features:
                x = region_features(view, rois)
            else:
                x = regional.regions(view.pyramid, rois, recipe.box_size, recipe)
            cls, deltas = regional.box_head(weights, f'bbox_head.{stage}', x)
            logits.append(cls)
            if stage < last:
                rois = regional.refine(rois, cls, deltas, recipe, stage, view.size)
        own = [
            [release.decode(r, d, recipe.stds[last], view.size, recipe.one) for d in row]
            for r, row in zip(rois, deltas.numpy())
        ]
        boxes.append(view.back(own, recipe.one).reshape(len(rois), -1, 4))
        mean = sum(logits) / len(logits)
        scores.append(mean.softmax(1)[:, :-1].numpy())
    return regional.detections(np.mean(boxes, 0), np.mean(scores, 0), recipe)


def segment(views, found, weights, recipe):
    """Mask probabilities (D, m, m): the mean over stages and over an image's views."""
    out = []
    for view in views:
        rois = view.forth([box for _, _, box in found], recipe.one)
        x = regional.regions(view.pyramid, rois, recipe.mask_size, recipe)
        for stage in range(len(recipe.stds)):
            embedding = masks.embed(weights, f'mask_head.{stage}', x)
            maps = masks.logits(weights, f'mask_head.{stage}', embedding).sigmoid().numpy()
            own = masks.own_channel(maps, found)
            out.append(own[..., ::-1] if view.flipped else own)
    return np.mean(out, 0)
