"""Whether a two-stage detector does what a reference does."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from tests.models.reference_mask import paste
from tests.models.toy_batches import own


def assert_trains_as(detector, batch, features, proposals, expected, parameters):
    """The losses of the second stage, and their gradients, are those of a reference.

    1e-4 of the value, or of a parameter's largest gradient: float32 through up to three stages.
    """
    losses = detector.roi_head.loss(features, proposals, batch)
    assert set(losses) == set(expected)
    for name, value in expected.items():
        assert value > 0, name
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-4), name
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    for name, parameter in detector.roi_head.named_parameters():
        wanted = parameters[name].grad
        error = (parameter.grad - wanted).abs().max()
        assert error <= 1e-4 * wanted.abs().max() > 0, name


def assert_finds(results, found, one):
    """Detections are those of a reference: score, label and box of each, best first."""
    assert len({label for _, label, _ in found}) > 1
    assert results.labels.tolist() == [label for _, label, _ in found]
    np.testing.assert_allclose(results.scores, [score for score, _, _ in found], rtol=2e-4)
    # In pixels of images twice as large as the input, after three float32 exponentials.
    boxes = np.array([box for _, _, box in found])
    np.testing.assert_allclose(own(results.boxes, one), boxes, atol=5e-3)


def assert_paints(results, probabilities, size, one, threshold=0.5):
    """Masks are the pasted probabilities, except where these are at the threshold."""
    area = uncertain = 0
    assert len(results.masks) == len(results)
    masks = np.moveaxis(mask_utils.decode(results.masks), -1, 0)
    for got, probability, box in zip(masks, probabilities, own(results.boxes, one)):
        # The box found, not the reference's: a hair's breadth changes its integer corners.
        wanted = paste(probability, box, size, one)
        assert got.shape == wanted.shape
        clear = np.abs(wanted - threshold) > 1e-4
        np.testing.assert_array_equal(got[clear], (wanted > threshold)[clear])
        area, uncertain = area + got.sum(), uncertain + (~clear).sum()
    assert area > 500
    assert uncertain < 0.01 * area
