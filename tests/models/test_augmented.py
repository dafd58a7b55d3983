"""Test-time augmentation of two-stage detectors against loops.

Three views of the same two images: as they are, mirrored, and larger; their contents differ, so
that every view counts.
"""

import numpy as np
import pytest
import torch

from hrdet.structures import Views
from tests.models import reference_cascade, reference_htc, reference_mask
from tests.models import reference_regions as regional
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.models.agreement import assert_finds, assert_paints

REFERENCES = {
    'faster': reference_mask,
    'mask': reference_mask,
    'cascade': reference_cascade,
    'cascade_mask': reference_cascade,
    'htc': reference_htc,
}


def forms():
    return [
        batches.batch(False),
        batches.batch(False, flipped=True, seed=2),
        batches.batch(False, factor=1.5, seed=3),
    ]


def references(detector, forms, recipe):
    """Views of each image, and the merged proposals of each in original pixels."""
    features, proposals = zip(*(toys.propose(detector, batch) for batch in forms))
    per_form = [batches.views(batch, maps) for batch, maps in zip(forms, features)]
    config = detector.rpn_head.test_proposals
    for image in range(2):
        views = [views[image] for views in per_form]
        found = [
            (batches.rows(p, recipe.one)[image], p.scores[image][p.valid[image]]) for p in proposals
        ]
        yield (
            views,
            regional.merge_proposals(found, views, config.nms_thr, config.max_num, recipe.one),
        )


@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
@pytest.mark.parametrize('kind', toys.KINDS)
def test_views_are_averaged(kind, convention):
    detector, seen = toys.detector(kind, convention).eval(), forms()
    stages = 1 if kind in ('faster', 'mask') else 3
    recipe, weights = toys.recipe(convention, stages), toys.numbers(detector.roi_head)
    results = detector.predict(Views(seen))
    reference = REFERENCES[kind]
    for i, (views, rois) in enumerate(references(detector, seen, recipe)):
        found = reference.detect(views, rois, weights, recipe)
        assert_finds(results[i], found, recipe.one)
        if detector.roi_head.mask_head is None:
            assert results[i].masks is None
            continue
        masks = reference.segment(views, found, weights, recipe)
        assert_paints(results[i], masks, batches.ORIGINAL[i], recipe.one)


@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
def test_a_mirrored_view_alone_finds_in_upright_pixels(convention):
    detector, batch = toys.detector('mask', convention).eval(), batches.batch(False, flipped=True)
    recipe, weights = toys.recipe(convention), toys.numbers(detector.roi_head)
    features, proposals = toys.propose(detector, batch)
    results = detector.predict(Views([batch]))
    for i, view in enumerate(batches.views(batch, features)):
        rois = view.back(batches.rows(proposals, recipe.one)[i], recipe.one)
        found = reference_mask.detect([view], rois, weights, recipe)
        assert_finds(results[i], found, recipe.one)
        masks = reference_mask.segment([view], found, weights, recipe)
        assert_paints(results[i], masks, batches.ORIGINAL[i], recipe.one)


@pytest.mark.parametrize('kind', ['mask', 'htc'])
def test_one_view_is_no_augmentation(kind):
    detector, batch = toys.detector(kind).eval(), batches.batch(False)
    for one, many in zip(detector.predict(batch), detector.predict(Views([batch]))):
        np.testing.assert_array_equal(one.boxes, many.boxes)
        np.testing.assert_array_equal(one.scores, many.scores)
        assert one.masks == many.masks


def test_a_view_twice_is_as_good_as_once():
    """A second look at the same pixels adds nothing; 1e-6: the mean of two equal numbers."""
    detector, batch = toys.detector('mask').eval(), batches.batch(False)
    for once, twice in zip(detector.predict(batch), detector.predict(Views([batch, batch]))):
        torch.testing.assert_close(once.scores, twice.scores, rtol=1e-6, atol=0)
        assert once.labels.tolist() == twice.labels.tolist()


def test_several_views_have_only_original_pixels_in_common():
    detector = toys.detector('faster').eval()
    with pytest.raises(ValueError, match='original pixels'):
        detector.predict(Views(forms()), rescale=False)
