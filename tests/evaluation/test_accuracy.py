"""Accuracy of classification, against the golden values of mmpretrain and by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hrdet.evaluation import Accuracy
from hrdet.structures import ClassScores, ImageMeta


def evaluate(scores, labels, topk=(1, 5)):
    images = list(range(len(labels)))
    classes = [f'c{k}' for k in range(scores.shape[1])]
    dataset = SimpleNamespace(image_ids=images, classes=classes, labels=labels)
    evaluator = Accuracy(dataset, topk)
    metas = [ImageMeta(f'{i}.jpg', i, (8, 8), (8, 8), (8, 8)) for i in images]
    metrics = evaluator((meta, ClassScores(row)) for meta, row in zip(metas, scores))
    return evaluator, metrics


def test_golden(reference_dir):
    golden = np.load(reference_dir / 'cls_transforms.npz')
    scores, labels = golden['acc_scores'], golden['acc_labels']
    top1, top5 = golden['acc_top1_top5'] * len(labels) / 100
    # mmpretrain counts a hit only where its score is above 0, as all probabilities are.
    positive = scores[np.arange(len(labels)), labels] > 0
    _, metrics = evaluate(scores[positive], labels[positive])
    assert metrics['top1'] * positive.sum() == pytest.approx(top1)
    assert metrics['top5'] * positive.sum() == pytest.approx(top5)


def test_by_hand(tmp_path):
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    evaluator, metrics = evaluate(scores, [0, 0, 1, 1], topk=(1, 2))
    means = {name: value for name, value in metrics.items() if '.' not in name}
    assert means == {'top1': 0.5, 'top2': 0.75, 'mean_class_accuracy': 0.5}
    assert [metrics[f'{n}.c1'] for n in ('recall', 'precision', 'F1')] == [0.5, 1, 2 / 3]
    assert 'recall.c2' not in metrics, 'there is no image of it'
    assert metrics['precision.c2'] == 0
    assert evaluator.confusion_matrix().tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    evaluator.write(tmp_path / 'predictions.json')
    second = json.loads((tmp_path / 'predictions.json').read_text())[1]
    score = pytest.approx(0.7)
    top5 = second.pop('top5')
    assert second == dict(path='1.jpg', pred_label=2, pred_class='c2', pred_score=score, gt_label=0)
    assert [entry['label'] for entry in top5] == [2, 1, 0]
    assert [entry['score'] for entry in top5] == pytest.approx([0.7, 0.2, 0.1])


def test_a_k_above_the_number_of_classes_is_left_out():
    _, metrics = evaluate(np.eye(2), [0, 1])
    assert [n for n in metrics if '.' not in n] == ['top1', 'mean_class_accuracy']


def test_equal_scores_do_not_all_count_as_right():
    _, metrics = evaluate(np.full((4, 4), 0.25), [0, 1, 2, 3], topk=(1, 2))
    assert (metrics['top1'], metrics['top2']) == (0.25, 0.5)


def test_a_missing_image_is_an_error():
    evaluator, _ = evaluate(np.eye(3), [0, 1, 2])
    evaluator.update(ImageMeta('0.jpg', 0, (8, 8), (8, 8), (8, 8)), ClassScores(np.ones(3) / 3))
    with pytest.raises(ValueError, match='evaluated 1 of 3 images; missing: 1, 2'):
        evaluator.compute()
