"""Mask R-CNN's losses, their gradients, its detections and masks against loops."""

import pytest
import torch

from tests.models import reference_mask as reference
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.models.agreement import assert_finds, assert_paints, assert_trains_as

CONVENTIONS = ['inclusive', 'continuous']


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_losses_and_gradients(convention):
    detector, batch = toys.detector('mask', convention), batches.batch()
    recipe, weights = toys.recipe(convention), toys.weights(detector.roi_head)
    features, proposals = toys.features(detector, batch), batches.close_to(batch.truth)
    expected = reference.losses(
        batches.pyramids(features),
        batches.rows(proposals, recipe.one),
        batches.truths(batch, recipe.one),
        weights,
        recipe,
    )
    assert_trains_as(detector, batch, features, proposals, expected, weights)


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize('rescale', [True, False])
def test_detections_and_masks(convention, rescale):
    detector, batch = toys.detector('mask', convention).eval(), batches.batch()
    recipe, weights = toys.recipe(convention), toys.numbers(detector.roi_head)
    features, proposals = toys.propose(detector, batch)
    results = detector.predict(batch, rescale=rescale)
    for i, view in enumerate(batches.views(batch, features)):
        if not rescale:
            view.scale = (1.0, 1.0)
        rois = view.back(batches.rows(proposals, recipe.one)[i], recipe.one)
        found = reference.detect([view], rois, weights, recipe)
        assert_finds(results[i], found, recipe.one)
        meta = batch.metas[i]
        size = meta.original_size if rescale else meta.input_size
        masks = reference.segment([view], found, weights, recipe)
        assert_paints(results[i], masks, size, recipe.one)


def test_without_detections_there_are_no_masks():
    detector = toys.detector('mask', score_thr=1.1).eval()
    assert [result.masks for result in detector.predict(batches.batch())] == [[], []]


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_images_without_objects_train(convention):
    """No mask to learn, but every parameter gets a gradient, as DDP asks."""
    detector, batch = toys.detector('mask', convention), batches.batch()
    batch.truth.valid[:] = False
    losses = detector(batch)
    sum(losses.values()).backward()
    assert losses['loss_mask'] == 0
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_batch_without_masks_says_what_is_missing():
    detector, batch = toys.detector('mask'), batches.batch()
    batch.truth.masks = None
    with pytest.raises(ValueError, match=r'data\.train\.with_mask'):
        detector(batch)


def test_padded_truth_rows_change_nothing():
    detector, batch = toys.detector('mask'), batches.batch()
    torch.manual_seed(5)
    before = detector(batch)
    batch.truth.boxes[1, 2] = torch.tensor([10.0, 10, 50, 50])
    batch.truth.masks[1, 2] = 1
    torch.manual_seed(5)
    after = detector(batch)
    assert {k: v.item() for k, v in before.items()} == {k: v.item() for k, v in after.items()}
