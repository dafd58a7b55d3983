"""The 2019 recall against a loop written from its description."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.evaluation import evaluate_coco


def iou_inclusive(a, b):
    """Two boxes of inclusive corners, as the release measures them."""
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    overlap = max(w, 0) * max(h, 0)
    area = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return overlap / (sum(area) - overlap)


def recall_by_loops(truth, results, limit):
    matched = []
    for image in truth['images']:
        objects = [
            a['bbox']
            for a in truth['annotations']
            if a['image_id'] == image['id'] and not a['iscrowd']
        ]
        found = [r for r in results if r['image_id'] == image['id']]
        found = sorted(found, key=lambda r: -r['score'])[:limit]
        corners = [[x, y, x + w - 1, y + h - 1] for x, y, w, h in objects]
        pairs = {
            (i, j): iou_inclusive(a, [x, y, x + w - 1, y + h - 1])
            for i, a in enumerate(corners)
            for j, (x, y, w, h) in enumerate(r['bbox'] for r in found)
        }
        best = [0.0] * len(objects)
        while pairs:
            i, j = max(pairs, key=pairs.get)
            best[i] = pairs[i, j]
            pairs = {(a, b): v for (a, b), v in pairs.items() if a != i and b != j}
        matched += best
    thresholds = np.arange(0.5, 0.96, 0.05)
    return np.mean([np.mean([v >= t for v in matched]) for t in thresholds])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_recall_is_that_of_the_release(seed):
    rng = np.random.default_rng(seed)
    truth = {
        'images': [{'id': 1}, {'id': 2}, {'id': 3}],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': [
            {'id': i + 1, 'image_id': int(rng.integers(1, 3)), 'category_id': 1, 'area': 100.0,
             'bbox': (rng.uniform(1, 60, 4) + [0, 0, 20, 20]).tolist(), 'iscrowd': int(i == 3)}
            for i in range(7)
        ],
    }  # fmt: skip
    twins = [{**a, 'bbox': (np.array(a['bbox']) + 3).tolist()} for a in truth['annotations']]
    truth['annotations'] += twins  # two objects that want the same proposal
    results = [
        {'image_id': int(rng.integers(1, 4)), 'category_id': 1, 'score': float(rng.random()),
         'bbox': (np.array(truth['annotations'][i % 7]['bbox']) + rng.normal(0, 4, 4)).tolist()}
        for i in range(400 if seed % 2 else 12)
    ]  # fmt: skip
    numbers = evaluate_coco(truth, results, 'proposal_fast')
    assert list(numbers) == ['AR100', 'AR300', 'AR1000']
    for name, value in numbers.items():
        # float64 on both sides, in another order of operations
        assert value == pytest.approx(recall_by_loops(truth, results, int(name[2:])), abs=1e-12)
