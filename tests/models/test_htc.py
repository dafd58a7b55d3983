"""Hybrid Task Cascade, whole and with parts left out: losses, gradients, results against loops."""

from itertools import pairwise

import pytest
import torch

from tests.models import reference_htc as reference
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.models.agreement import assert_finds, assert_paints, assert_trains_as

CONVENTIONS = ['inclusive', 'continuous']
VARIANTS = {
    'whole': {},
    'no semantic branch': dict(semantic=False),
    'semantic boxes': dict(semantic_fusion=('bbox',)),
    'semantic masks': dict(semantic_fusion=('mask',)),
    'not interleaved': dict(interleaved=False),
    'no mask information flow': dict(mask_info_flow=False),
}


def options(variant):
    """A variant in the words of the reference: fusion, interleaved, information_flow."""
    names = dict(semantic_fusion='fusion', mask_info_flow='information_flow')
    return {names.get(k, k): v for k, v in variant.items() if k != 'semantic'}


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize('variant', VARIANTS.values(), ids=VARIANTS)
def test_losses_and_gradients(variant, convention):
    """Gradients too: those of stage i flow into the mask heads before it."""
    detector, batch = toys.detector('htc', convention, **variant), batches.batch()
    recipe, weights = toys.recipe(convention, 3), toys.weights(detector.roi_head)
    features, proposals = toys.features(detector, batch), batches.close_to(batch.truth)
    semantic = variant.get('semantic', True)
    expected = reference.losses(
        batches.pyramids(features),
        batches.rows(proposals, recipe.one),
        batches.truths(batch, recipe.one),
        batches.SIZES,
        weights,
        recipe,
        batch.truth.semantic.numpy() if semantic else None,
        **options(variant),
    )
    assert_trains_as(detector, batch, features, proposals, expected, weights)


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize('variant', VARIANTS.values(), ids=VARIANTS)
def test_detections_and_masks(variant, convention):
    detector, batch = toys.detector('htc', convention, **variant).eval(), batches.batch()
    recipe, weights = toys.recipe(convention, 3), toys.numbers(detector.roi_head)
    features, proposals = toys.propose(detector, batch)
    results = detector.predict(batch)
    known = options(variant)
    known.pop('interleaved', None)
    fusion = {k: v for k, v in known.items() if k == 'fusion'}
    for i, view in enumerate(batches.views(batch, features)):
        rois = view.back(batches.rows(proposals, recipe.one)[i], recipe.one)
        found = reference.detect([view], rois, weights, recipe, **fusion)
        assert_finds(results[i], found, recipe.one)
        masks = reference.segment([view], found, weights, recipe, **known)
        assert_paints(results[i], masks, batch.metas[i].original_size, recipe.one)


def test_the_parts_change_the_result():
    """Otherwise the comparisons above would show little."""
    batch, totals = batches.batch(), []
    for variant in VARIANTS.values():
        detector = toys.detector('htc', **variant)
        features, proposals = toys.features(detector, batch), batches.close_to(batch.truth)
        losses = detector.roi_head.loss(features, proposals, batch)
        totals.append(sum(v.item() for k, v in losses.items() if 'semantic' not in k))
    assert all(a != pytest.approx(b, rel=1e-3) for a, b in pairwise(sorted(totals)))


def test_loss_names():
    losses = toys.detector('htc')(batches.batch())
    stages = [f's{s}.loss_{task}' for s in range(3) for task in ('cls', 'bbox', 'mask')]
    assert set(losses) == {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_semantic_seg', *stages}


def test_images_without_objects_or_labelled_pixels_train():
    detector, batch = toys.detector('htc'), batches.batch()
    batch.truth.valid[:] = False
    batch.truth.semantic[:] = 255
    losses = detector(batch)
    sum(losses.values()).backward()
    assert losses['loss_semantic_seg'] == 0
    assert all(losses[f's{stage}.loss_mask'] == 0 for stage in range(3))
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
