"""What counts as a difference between a model and its file."""

import numpy as np
import pytest

from hrdet.export import compare, place


def values(differences):
    return {difference.name: difference.value for difference in differences}


def wrong(differences):
    return [difference.name for difference in differences if difference.too_large]


def test_scores_and_labels():
    scores = dict(scores=np.float32([[0.2, 0.8]]))
    assert wrong(compare(scores, scores)) == []
    off = dict(scores=np.float32([[0.202, 0.798]]))
    assert values(compare(scores, off))['scores'] == pytest.approx(0.002, rel=1e-4)
    assert wrong(compare(scores, off)) == ['scores']
    nothing = dict(scores=np.float32([[np.nan, np.nan]]))
    assert wrong(compare(scores, nothing)) == ['scores']
    labels = np.zeros((1, 10, 100), np.uint8)
    turned = labels.copy()
    turned[0, 0, :11] = 1
    found = compare(dict(labels=labels), dict(labels=turned))
    assert values(found) == {'labels': 0.011}
    assert wrong(found) == ['labels']


def detections(rows, size=4):
    """Boxes of 10 pixels at x, with score and label, padded to ``size`` rows."""
    padded = rows + [(0, 0, 0)] * (size - len(rows))
    x, scores, labels = (np.float32([column]) for column in zip(*padded))
    boxes = np.stack([x, 0 * x, x + 10, 0 * x + 10], -1)
    counts = np.array([len(rows)])
    return dict(boxes=boxes, scores=scores, labels=labels.astype(np.int64), counts=counts)


def test_detections():
    one = detections([(5, 0.9, 0), (50, 0.5, 1), (51, 0.5, 0)])
    changed_places = detections([(5, 0.9, 0), (51, 0.5, 0), (50.01, 0.5, 1)])
    found = compare(one, changed_places)
    assert values(found)['boxes'] == pytest.approx(0.01, abs=1e-5)
    assert wrong(found) == []
    assert wrong(compare(one, detections([(5, 0.9, 0), (50.5, 0.5, 1), (51, 0.5, 0)]))) == ['boxes']
    lost = ['detections without a counterpart']
    assert wrong(compare(one, detections([(5, 0.9, 0), (50, 0.5, 1)]))) == lost
    assert wrong(compare(detections([(5, 0.9, 0)]), one)) == lost
    assert wrong(compare(one, detections([]))) == lost
    assert wrong(compare(one, detections([(5, 0.9, 0), (50, 0.5, 1), (80, 0.5, 0)]))) == lost
    assert wrong(compare(detections([]), detections([]))) == []
    weak = detections([(5, 0.8, 0), (50, 0.5, 1), (51, 0.5, 0)])
    assert wrong(compare(one, weak)) == ['scores']


def test_masks():
    one = detections([(5, 0.9, 0)]) | dict(masks=np.zeros((1, 4, 2, 2), np.float32))
    two = one | dict(masks=np.full((1, 4, 2, 2), 0.02, np.float32))
    assert wrong(compare(one, two)) == ['masks']


def test_a_picture_fills_the_input_or_keeps_its_proportions():
    picture = np.full((10, 20, 3), 7, np.uint8)
    image, size = place(picture, (32, 32), padded=False)
    assert (image.shape, size, image.min()) == ((3, 32, 32), (32, 32), 7)
    image, size = place(picture, (32, 32), padded=True)
    assert size == (16, 32)
    assert (image[:, :16] == 7).all()
    assert not image[:, 16:].any()
