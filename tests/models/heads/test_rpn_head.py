"""Sizes of proposals; those of several views as one list, against a loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.boxes import BoxConvention
from hrdet.models.heads import ProposalConfig, merge_proposals
from hrdet.models.views import AugmentedView
from hrdet.structures import Proposals
from tests.models import reference_2019 as release
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys

SIZE = (100, 200)  # of the original, (h, w)


def original(box, scale, flipped):
    """An inclusive box of a view in inclusive pixels of the original."""
    width = SIZE[1] * scale
    x1, y1, x2, y2 = box
    if flipped:
        x1, x2 = width - 1 - x2, width - 1 - x1
    return np.array([x1, y1, x2, y2]) / scale


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), views=st.integers(1, 4), limit=st.integers(1, 40))
def test_merged_proposals_are_those_of_one_nms_over_all_views(seed, views, limit):
    """Two images; some rows hold no proposal.  1e-3 pixels: float32 in pixels up to 400."""
    rng = np.random.default_rng(seed)
    per_view, seen, expected = [], [], [[], []]
    for _ in range(views):
        scale, flipped = float(rng.choice([0.5, 1, 2])), bool(rng.random() < 0.5)
        corners = rng.uniform(0, 0.6, (2, 12, 2)) * SIZE[::-1] * scale
        sides = rng.uniform(0.05, 0.4, (2, 12, 2)) * SIZE[::-1] * scale
        boxes = np.concatenate([corners, corners + sides], axis=2)
        scores = rng.permutation(24).reshape(2, 12) / 24 + rng.uniform(0, 0.01)
        valid = rng.random((2, 12)) < 0.8
        scores[~valid] = -np.inf
        for i in range(2):
            for box, score in zip(boxes[i][valid[i]], scores[i][valid[i]]):
                expected[i].append((score, original(box, scale, flipped)))
        per_view.append(
            Proposals(
                torch.tensor(boxes + [0, 0, 1, 1], dtype=torch.float32),
                torch.tensor(scores, dtype=torch.float32),
                torch.tensor(valid),
            )
        )
        sizes = torch.tensor([SIZE, SIZE]) * scale
        scales, mirrored = torch.full((2, 2), scale), torch.full((2,), flipped)
        seen.append(AugmentedView(sizes, scales, mirrored, [SIZE] * 2, BoxConvention.INCLUSIVE))
    merged = merge_proposals(per_view, seen, ProposalConfig(0, 0, limit, nms_thr=0.5))
    assert merged.boxes.shape == (2, limit, 4)
    for i in range(2):
        boxes, scores = np.array([box for _, box in expected[i]]), [s for s, _ in expected[i]]
        kept = release.nms(boxes, scores, 0.5)[:limit]
        count = int(merged.valid[i].sum())
        assert count == len(kept)
        np.testing.assert_allclose(merged.scores[i, :count], np.array(scores)[kept], rtol=1e-5)
        got = merged.boxes[i, :count].numpy() - np.array([0, 0, 1, 1])
        np.testing.assert_allclose(got, boxes[kept], atol=1e-3)
        assert (merged.scores[i, count:] == -torch.inf).all()


@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
@pytest.mark.parametrize('least', [0, 8])
def test_proposals_have_a_size(convention, least):
    """Also those of anchors in the padding: mmdetection 3 drops these, 2019 has a pixel of each."""
    torch.manual_seed(0)
    rpn = toys.rpn_head(convention, num=32).eval()
    rpn.test_proposals = ProposalConfig(0, 0, 2000, nms_thr=0.7, min_bbox_size=least)
    batch = replace(batches.batch(), input_sizes=torch.tensor([[60.0, 90], [20, 24]]))
    features = toys.Pyramid()(batch.images / 50)
    proposals = rpn.propose(rpn(features), batch)
    sides = (proposals.boxes[..., 2:] - proposals.boxes[..., :2]).amin(-1)
    for image in range(2):
        smallest = sides[image][proposals.valid[image]].min()
        assert (smallest >= max(least, 1)) if convention == 'inclusive' else (smallest > least)
