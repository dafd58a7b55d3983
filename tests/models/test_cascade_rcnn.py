"""Cascade R-CNN, with masks or without: losses, gradients and detections against loops."""

import numpy as np
import pytest
import torch

from tests.models import reference_cascade as reference
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.models.agreement import assert_finds, assert_paints, assert_trains_as

CONVENTIONS = ['inclusive', 'continuous']


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize(
    ('kind', 'agnostic'), [('cascade', True), ('cascade', False), ('cascade_mask', True)]
)
def test_losses_and_gradients(kind, agnostic, convention):
    detector, batch = toys.detector(kind, convention, agnostic=agnostic), batches.batch()
    recipe, weights = toys.recipe(convention, 3), toys.weights(detector.roi_head)
    features, proposals = toys.features(detector, batch), batches.close_to(batch.truth)
    expected = reference.losses(
        batches.pyramids(features),
        batches.rows(proposals, recipe.one),
        batches.truths(batch, recipe.one),
        batches.SIZES,
        weights,
        recipe,
    )
    assert_trains_as(detector, batch, features, proposals, expected, weights)


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize(
    ('kind', 'agnostic'), [('cascade', True), ('cascade', False), ('cascade_mask', True)]
)
def test_detections_and_masks(kind, agnostic, convention):
    detector, batch = toys.detector(kind, convention, agnostic=agnostic).eval(), batches.batch()
    recipe, weights = toys.recipe(convention, 3), toys.numbers(detector.roi_head)
    features, proposals = toys.propose(detector, batch)
    results = detector.predict(batch)
    for i, view in enumerate(batches.views(batch, features)):
        rois = view.back(batches.rows(proposals, recipe.one)[i], recipe.one)
        found = reference.detect([view], rois, weights, recipe)
        assert_finds(results[i], found, recipe.one)
        if kind == 'cascade_mask':
            masks = reference.segment([view], found, weights, recipe)
            assert_paints(results[i], masks, batch.metas[i].original_size, recipe.one)
        else:
            assert results[i].masks is None


def test_stage_loss_weights():
    """Each loss of a stage is multiplied by the stage's weight, and no other."""
    batch = batches.batch()
    plain = toys.detector('cascade_mask', stage_loss_weights=[1, 1, 1])(batch)
    weighted = toys.detector('cascade_mask', stage_loss_weights=[3, 1, 0.125])(batch)
    for name, value in plain.items():
        factor = {'s0': 3, 's2': 0.125}.get(name[:2], 1)
        assert weighted[name].item() == pytest.approx(factor * value.item(), rel=1e-6), name
    assert list(plain) == ['loss_rpn_cls', 'loss_rpn_bbox'] + [
        f's{stage}.loss_{task}' for stage in range(3) for task in ('cls', 'bbox', 'mask')
    ]


def test_objects_are_proposals_of_their_own_stage_only():
    """With no proposal at all every stage still trains on the objects, and only on them."""
    detector, batch = toys.detector('cascade'), batches.batch()
    features, proposals = toys.propose(detector, batch)
    proposals.valid[:] = False
    losses = detector.roi_head.loss(features, proposals, batch)
    recipe, weights = toys.recipe('inclusive', 3), toys.numbers(detector.roi_head)
    none = [np.zeros((0, 4))] * 2
    expected = reference.losses(
        batches.pyramids(features), none, batches.truths(batch, 1), batches.SIZES, weights, recipe
    )
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-4), name


@pytest.mark.parametrize('kind', ['cascade', 'cascade_mask'])
def test_images_without_objects_train(kind):
    detector, batch = toys.detector(kind), batches.batch()
    batch.truth.valid[:] = False
    losses = detector(batch)
    sum(losses.values()).backward()
    assert all(losses[f's{stage}.loss_bbox'] == 0 for stage in range(3))
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
