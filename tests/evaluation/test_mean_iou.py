"""mIoU against mmsegmentation's golden values, and against loops over pixels."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from hrdet.evaluation import MeanIoU
from hrdet.structures import ImageMeta, LabelMap, SegmentationMap


def evaluate(predictions, labels, num_classes, **options):
    dataset = SimpleNamespace(
        image_ids=list(range(len(labels))),
        classes=[f'c{k}' for k in range(num_classes)],
        truth=lambda index: SegmentationMap(labels[index]),
    )
    evaluator = MeanIoU(dataset, **options)
    metas = [ImageMeta(f'{i}.png', i, *[one.shape] * 3) for i, one in enumerate(labels)]
    metrics = evaluator((meta, LabelMap(one)) for meta, one in zip(metas, predictions))
    return evaluator, metrics


@pytest.mark.parametrize('name', ['first_two', 'out_of_range'])
def test_golden(reference_dir, name):
    golden = np.load(reference_dir / 'seg_ops.npz')
    pairs = [0, 1] if name == 'first_two' else [2]
    predictions, labels = (
        [golden[f'metric_{side}{i}'] for i in pairs] for side in ('pred', 'label')
    )
    areas = sum(
        golden[f'metric_areas{i}'].astype(float) for i in pairs
    )  # intersect, union, pred, label
    evaluator, metrics = evaluate(
        [one.astype(np.uint8) for one in predictions],
        [one.astype(np.uint8) for one in labels],
        8,
        iou_metrics=['mIoU', 'mDice', 'mFscore'],
    )
    matrix = evaluator.matrix
    np.testing.assert_array_equal(np.diagonal(matrix)[:-1], areas[0])
    np.testing.assert_array_equal(matrix[:-1].sum(1), areas[3])
    np.testing.assert_array_equal(matrix[:, :-1].sum(0), areas[2])
    with np.errstate(invalid='ignore'):
        assert metrics['mIoU'] == pytest.approx(np.nanmean(areas[0] / areas[1]), abs=1e-12)
        assert metrics['mAcc'] == pytest.approx(np.nanmean(areas[0] / areas[3]), abs=1e-12)
    assert metrics['aAcc'] == pytest.approx(areas[0].sum() / areas[3].sum(), abs=1e-12)


def test_against_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    labels = [rng.choice([0, 1, 2, 255], (9, 7)).astype(np.uint8) for _ in range(3)]
    predictions = [rng.integers(0, 3, (9, 7)).astype(np.uint8) for _ in range(3)]
    right, labelled, predicted = np.zeros((3, 3))
    for label, prediction in zip(labels, predictions):
        for truth, found in zip(label.ravel(), prediction.ravel()):
            if truth != 255:
                labelled[truth] += 1
                predicted[found] += 1
                right[truth] += truth == found
    _, metrics = evaluate(predictions, labels, 3)
    iou = right / (labelled + predicted - right)
    assert metrics['mIoU'] == pytest.approx(iou.mean(), abs=1e-12)
    assert [metrics[f'IoU.c{k}'] for k in range(3)] == pytest.approx(iou.tolist(), abs=1e-12)
    assert next(iter(metrics)) == 'mIoU'
    _, metrics = evaluate(predictions, labels, 3, left_out=['c1'])
    assert metrics['mIoU'] == pytest.approx(iou[[0, 2]].mean(), abs=1e-12)


def test_a_label_that_is_no_class_is_named(caplog):
    labels = [np.array([[0, 1], [7, 7]], np.uint8)]
    with caplog.at_level(logging.WARNING, 'hrdet'):
        evaluate([np.zeros((2, 2), np.uint8)], labels, 2)
    assert 'label 7 in 2 pixels of 0.png' in caplog.text


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match='mIuO'):
        evaluate([], [], 2, iou_metrics=['mIuO'])
    with pytest.raises(ValueError, match="iou_metrics='': choose from"):
        evaluate([], [], 2, iou_metrics=[])
    with pytest.raises(ValueError, match='left_out'):
        evaluate([], [], 2, left_out=['clutter'])
