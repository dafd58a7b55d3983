"""Details of an evaluation: hotcoco's counts, by class."""

import numpy as np
import pytest

from hrdet.evaluation import CocoAnnotations, evaluate
from hrdet.evaluation.details import detection_details, error_numbers

TRUTH = dict(
    images=[dict(id='x', width=100, height=100)],
    categories=[dict(id=3, name='cat'), dict(id=7, name='dog')],
    annotations=[
        dict(id=1, image_id='x', category_id=3, bbox=[0, 0, 30, 30], area=900, iscrowd=0),
        dict(id=2, image_id='x', category_id=7, bbox=[50, 0, 30, 30], area=900, iscrowd=0),
        dict(id=3, image_id='x', category_id=7, bbox=[0, 50, 30, 30], area=900, iscrowd=0),
    ],
)


def result(category, score, *box):
    return dict(image_id='x', category_id=category, score=score, bbox=list(box))


def test_confusion_errors_and_counts():
    pytest.importorskip('hotcoco')
    results = [
        result(3, 0.9, 0, 0, 30, 30),
        result(3, 0.8, 1, 0, 30, 30),  # double
        result(3, 0.7, 50, 0, 30, 30),  # a dog taken for a cat
        result(7, 0.2, 0, 50, 30, 30),  # right, below the threshold
        result(7, 0.6, 70, 70, 20, 20),  # nothing
    ]
    truth = CocoAnnotations.read(TRUTH)
    details = detection_details(truth, results, evaluate(truth, results), 0.5)
    assert details.classes == ['cat', 'dog', 'background']
    # rows are true classes: the second dog is found below the threshold only
    assert details.confusion.tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    counts = {kind: count for kind, (count, _) in details.errors.items()}
    # 'missed' has no object that another error explains
    assert counts == dict(double=1, background=1, location=0, both=0, missed=0) | {'class': 1}
    assert details.errors['class'][1] > 0
    assert [row['objects'] for row in details.per_class.values()] == [1, 2]
    assert details.per_class['cat']['recall'] == 1
    assert np.shape(details.curves.precision) == (101, 2)
    numbers = error_numbers(dict(bbox=details))
    assert (numbers['bbox_errors.class'], numbers['bbox_errors.missed']) == (1, 0)
    assert numbers['bbox_error_AP50.class'] == details.errors['class'][1]
