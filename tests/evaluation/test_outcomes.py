"""Outcomes of detections against hotcoco, which counts them over a whole data set."""

from collections import Counter

import numpy as np
import pytest
from pycocotools import mask as rle

from hrdet.evaluation.outcomes import outcomes
from hrdet.structures import Detections, GroundTruth

NAMES = dict(Cls='class', Loc='location', Both='both', Dupe='double', Bkg='background')
NOTHING = np.zeros((0, 4))


def scene(rng, size=100):
    """Objects, and detections that hit them more or less."""
    corners = rng.uniform(0, size - 40, (5, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(15, 40, (5, 2))), 1)
    labels = rng.integers(0, 3, 5)
    hits = rng.integers(0, 5, 12)
    shifted = boxes[hits] + rng.normal(0, 5, (12, 4))
    shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2] + 2)
    other = np.where(rng.random(12) < 0.3, rng.integers(0, 3, 12), labels[hits])
    scores = np.sort(rng.random(12))[::-1]
    return GroundTruth(boxes, labels, NOTHING), Detections(shifted, scores, other)


def sides(boxes):
    boxes = np.asarray(boxes, float)
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1).tolist()


def test_hotcoco_counts_the_same():
    hotcoco = pytest.importorskip('hotcoco')
    rng = np.random.default_rng(0)
    counts, annotations, rows, right = Counter(), [], [], []
    for image in range(1, 61):
        truth, result = scene(rng)
        result = result.numpy()  # float32, as the engine gets it
        kinds = outcomes(result, truth).kinds
        counts.update(kinds)
        for box, label in zip(sides(truth.boxes), truth.labels.tolist()):
            entry = dict(id=len(annotations) + 1, image_id=image, category_id=label + 1, iscrowd=0)
            annotations.append(entry | dict(bbox=box, area=box[2] * box[3]))
        for box, score, label, kind in zip(
            sides(result.boxes), result.scores, result.labels, kinds
        ):
            rows.append((image, *box, score, label + 1))
            right.append(kind == 'right')
    coco = hotcoco.COCO()
    images = [dict(id=i, width=100, height=100) for i in range(1, 61)]
    categories = [dict(id=i, name=str(i)) for i in (1, 2, 3)]
    coco.dataset = dict(images=images, categories=categories, annotations=annotations)
    run = hotcoco.COCOeval(coco, coco.load_res(np.array(rows)), 'bbox')
    run.evaluate()
    theirs = run.tide_errors()['counts']
    assert {NAMES[name]: n for name, n in theirs.items() if name in NAMES} == {
        name: counts[name] for name in NAMES.values()
    }
    assert min(counts[name] for name in NAMES.values()) >= 5, 'every kind occurs'
    status = run.image_diagnostics()['dt_status']
    assert [status[i] == 'tp' for i in range(1, len(rows) + 1)] == right


def test_masks_decide_where_both_sides_have_them():
    """Two triangles in one box: the boxes agree, the masks do not."""
    lower = np.tril(np.ones((40, 40), np.uint8))
    box, label, score = np.array([[0, 0, 40, 40.0]]), np.array([0]), np.array([0.9])
    found = [rle.encode(np.asfortranarray(1 - lower))]
    truth = GroundTruth(box, label, NOTHING, lower[None])
    assert outcomes(Detections(box, score, label, found), truth).kinds == ['background']
    assert outcomes(Detections(box, score, label), truth).kinds == ['right']


def test_crowds_and_images_without_objects():
    boxes = np.array([[0, 0, 10, 10.0], [60, 60, 90, 90]])
    result = Detections(boxes, np.array([0.9, 0.8]), np.array([0, 0]))
    truth = GroundTruth(NOTHING, np.zeros(0, int), np.array([[0, 0, 50, 50.0]]))
    assert outcomes(result, truth).kinds == ['ignored', 'background']
    nothing = Detections(NOTHING, np.zeros(0), np.zeros(0, int))
    missed = outcomes(nothing, GroundTruth(boxes, np.array([0, 0]), NOTHING))
    assert missed.kinds == []
    assert missed.found.tolist() == [False, False]
