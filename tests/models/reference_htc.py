"""Hybrid Task Cascade in float64, from the words of mmdetection 1.x and of Chen et al. (2019).

Conventions and names as in ``reference_regions``; the boxes' cascade as in ``reference_cascade``.
"""

import numpy as np
import torch
import torch.nn.functional as F

from tests.models import reference_cascade as cascade
from tests.models import reference_mask as masks
from tests.models import reference_regions as regional

SEMANTIC_STRIDE = 8


def semantic_branch(pyramid, weights):
    """Class logits and embedding of one image (C, h, w), at the size of the second level."""
    size, total = pyramid[1].shape[-2:], 0
    for k, level in enumerate(pyramid):
        if k != 1:
            level = F.interpolate(level[None], size, mode='bilinear', align_corners=True)[0]
        total = total + masks.conv_relu(weights, f'semantic_head.lateral_convs.{k}.conv', level)
    k = 0
    while f'semantic_head.convs.{k}.conv.weight' in weights:
        total = masks.conv_relu(weights, f'semantic_head.convs.{k}.conv', total, padding=1)
        k += 1
    name = 'semantic_head.conv_logits'
    logits = F.conv2d(total, weights[f'{name}.weight'], weights[f'{name}.bias'])
    return logits, masks.conv_relu(weights, 'semantic_head.conv_embedding.conv', total)


def semantic_loss(logits, maps, one, loss_weight=0.2):
    """Mean cross entropy of the pixels that are not 255; mmdetection 3 divides by all pixels."""
    losses = []
    for image, wanted in zip(logits, maps):
        chances = F.log_softmax(image, 0)
        for y, x in np.argwhere(wanted != 255):
            losses.append(-chances[wanted[y, x], y, x])
    return loss_weight * sum(losses) / (len(losses) if one else maps.size)


class Regions:
    """Region features of one image; those of the semantic embedding are added where asked for."""

    def __init__(self, pyramid, weights, recipe, fusion=('bbox', 'mask')):
        self.pyramid, self.recipe, self.fusion = pyramid, recipe, fusion
        self.logits = self.embedding = None
        if any(name.startswith('semantic_head') for name in weights):
            self.logits, self.embedding = semantic_branch(pyramid, weights)

    def semantic(self, boxes):
        r, scale = self.recipe, 1 / SEMANTIC_STRIDE
        rows = [
            regional.align(self.embedding, box, scale, r.mask_size, r.samples, r.one)
            for box in boxes
        ]
        return torch.stack(rows) if rows else 0

    def of_boxes(self, boxes):
        x = regional.regions(self.pyramid, boxes, self.recipe.box_size, self.recipe)
        if self.embedding is not None and 'bbox' in self.fusion:
            ratio = self.recipe.mask_size // self.recipe.box_size
            x = x + F.avg_pool2d(self.semantic(boxes), ratio)
        return x

    def of_masks(self, boxes):
        x = regional.regions(self.pyramid, boxes, self.recipe.mask_size, self.recipe)
        if self.embedding is not None and 'mask' in self.fusion:
            x = x + self.semantic(boxes)
        return x


def mask_chain(x, weights, stage, information_flow):
    """What head ``stage`` finds, after the heads before it have passed on what they found."""
    previous = None
    if information_flow:
        for before in range(stage):
            previous = masks.embed(weights, f'mask_head.{before}', x, previous)
    embedding = masks.embed(weights, f'mask_head.{stage}', x, previous)
    return masks.logits(weights, f'mask_head.{stage}', embedding)


def losses(
    pyramids,
    proposals,
    truths,
    sizes,
    weights,
    recipe,
    semantic_maps=None,
    fusion=('bbox', 'mask'),
    interleaved=True,
    information_flow=True,
):
    """``loss_semantic_seg`` and ``sK.loss_*`` of a batch."""
    out = {}
    images = [Regions(pyramid, weights, recipe, fusion) for pyramid in pyramids]
    if semantic_maps is not None:
        logits = [image.logits for image in images]
        out['loss_semantic_seg'] = semantic_loss(logits, semantic_maps, recipe.one)
    for stage, factor in enumerate(recipe.stage_weights):
        overlap = recipe.overlaps[stage]
        samples = [
            regional.sample(rois, truth, overlap, recipe.one)
            for rois, truth in zip(proposals, truths)
        ]
        outputs = [
            regional.box_head(weights, f'bbox_head.{stage}', image.of_boxes(sampled.rois))
            for image, sampled in zip(images, samples)
        ]
        own = regional.box_losses(outputs, samples, truths, recipe, stage)
        proposals = cascade.next_proposals(outputs, samples, truths, sizes, recipe, stage)
        if interleaved:  # masks learn from the boxes this stage has just moved
            samples = [
                regional.sample(rois, truth, overlap, recipe.one)
                for rois, truth in zip(proposals, truths)
            ]
        maps = [
            mask_chain(image.of_masks(sampled.positive()[0]), weights, stage, information_flow)
            for image, sampled in zip(images, samples)
        ]
        own['loss_mask'] = masks.mask_loss(maps, samples, truths, recipe.one)
        out |= {f's{stage}.{name}': factor * loss for name, loss in own.items()}
    return out


def detect(views, proposals, weights, recipe, fusion=('bbox', 'mask')):
    """Detections of an image from its views; ``proposals`` and results in original pixels."""
    made = {id(view): Regions(view.pyramid, weights, recipe, fusion) for view in views}
    return cascade.detect(
        views, proposals, weights, recipe, lambda view, rois: made[id(view)].of_boxes(rois)
    )


def segment(views, found, weights, recipe, fusion=('bbox', 'mask'), information_flow=True):
    """Mask probabilities (D, m, m): the mean of every stage's and every view's sigmoids."""
    out = []
    for view in views:
        rois = view.forth([box for _, _, box in found], recipe.one)
        x = Regions(view.pyramid, weights, recipe, fusion).of_masks(rois)
        for stage in range(len(recipe.stds)):
            maps = mask_chain(x, weights, stage, information_flow).sigmoid().numpy()
            own = masks.own_channel(maps, found)
            out.append(own[..., ::-1] if view.flipped else own)
    return np.mean(out, 0)
