"""From detections of a data set to numbers and files."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from hrdet.evaluation import CocoMetric, evaluate_coco
from hrdet.registry import ConfigError
from hrdet.structures import Detections, ImageMeta

SIDE = 100


@pytest.fixture
def content():
    rng = np.random.default_rng(0)
    return {
        'images': [{'id': i, 'height': SIDE, 'width': SIDE} for i in (30, 10, 20)],
        'categories': [{'id': i, 'name': f'c{i}'} for i in (7, 2, 90)],
        'annotations': [
            {'id': i, 'image_id': int(rng.choice([10, 20, 30])), 'iscrowd': 0, 'area': 400.0,
             'category_id': int(rng.choice([7, 2, 90])),
             'bbox': [*rng.uniform(0, 70, 2).tolist(), 20.0, 20.0]}
            for i in range(1, 20)
        ],
    }  # fmt: skip


@pytest.fixture
def dataset(content, tmp_path):
    """Only two of the three classes, labelled in an order of their own."""
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    return SimpleNamespace(
        ann_file=str(tmp_path / 'truth.json'), image_ids=[30, 10, 20], category_ids=(90, 2)
    )


@pytest.fixture
def predictions(content, dataset):
    """Perturbed truth of the two classes, images in another order than the data set's."""
    rng = np.random.default_rng(1)
    found = []
    for image in (20, 30, 10):
        mine = [
            a for a in content['annotations']
            if a['image_id'] == image and a['category_id'] in dataset.category_ids
        ]  # fmt: skip
        xywh = np.array([a['bbox'] for a in mine]).reshape(-1, 4) + rng.normal(0, 1, (len(mine), 4))
        boxes = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), 1).astype(np.float32)
        labels = [dataset.category_ids.index(a['category_id']) for a in mine]
        size = (SIDE, SIDE)
        meta = ImageMeta(f'{image}.jpg', image, size, size, size)
        found.append(
            (meta, Detections(torch.from_numpy(boxes), torch.rand(len(mine)), torch.tensor(labels)))
        )
    return found


def test_same_numbers_as_the_file_with_the_other_class_left_out(dataset, predictions, content):
    numbers = CocoMetric(dataset, ['bbox', 'proposal', 'proposal_fast'])(predictions)
    metric = CocoMetric(dataset)
    metric(predictions)
    results = metric.results()
    content['categories'] = [c for c in content['categories'] if c['id'] != 7]
    content['annotations'] = [a for a in content['annotations'] if a['category_id'] != 7]
    assert 0 < numbers['bbox_AP'] < 1
    for kind in ('bbox', 'proposal', 'proposal_fast'):
        for name, value in evaluate_coco(content, results, kind).items():
            assert numbers[f'{kind}_{name}'] == value, (kind, name)


def test_results_come_in_data_set_order_with_the_files_ids(dataset, predictions):
    metric = CocoMetric(dataset)
    metric(predictions)
    results = metric.results()
    assert list(dict.fromkeys(r['image_id'] for r in results)) == [30, 10, 20]
    assert {r['category_id'] for r in results} == {90, 2}
    first = predictions[1][1]
    x1, y1, x2, y2 = first.boxes[0].double().tolist()
    assert results[0]['bbox'] == [x1, y1, x2 - x1, y2 - y1]
    assert results[0]['score'] == float(first.scores[0])


def test_annotations_of_a_data_set_without_a_coco_file(dataset, predictions, content):
    by_file = CocoMetric(dataset)(predictions)
    dataset.ann_file = 'train.txt'
    dataset.to_coco = lambda: content
    assert CocoMetric(dataset)(predictions) == by_file


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda p: p.pop(), r'evaluated 2 of 3 images; missing: 10'),
        (lambda p: p.append(p[0]), r'image 20 \(20.jpg\) was evaluated twice'),
        (lambda p: setattr(p[0][0], 'image_id', 5), r'image 5 \(20.jpg\) is not in the data set'),
    ],
)
def test_every_image_counts_once(change, message, dataset, predictions):
    change(predictions)
    with pytest.raises(ValueError, match=message):
        CocoMetric(dataset)(predictions)


def test_unknown_ids_and_metrics_are_refused_at_start(dataset):
    with pytest.raises(ValueError, match=r"'mAP': choose from bbox, segm"):
        CocoMetric(dataset, ['mAP'])
    dataset.category_ids = (90, 5)
    with pytest.raises(ValueError, match=r'truth.json: category ids 5 are not in it'):
        CocoMetric(dataset)


def test_fields_that_no_metric_reads_may_be_of_any_type(dataset, predictions, content, tmp_path):
    expected = CocoMetric(dataset)(predictions)
    content['images'][0] |= {'license': 'MIT', 'date_captured': 2020, 'id': 'ten'}
    for annotation in content['annotations']:
        if annotation['image_id'] == 30:
            annotation['image_id'] = 'ten'
        annotation |= {'num_keypoints': 'x', 'iscrowd': None}
    content['categories'][0]['supercategory'] = 5
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    dataset.image_ids = ['ten', 10, 20]
    renamed = [
        (replace(meta, image_id='ten' if meta.image_id == 30 else meta.image_id), result)
        for meta, result in predictions
    ]
    assert CocoMetric(dataset)(renamed) == expected


def test_classes_that_the_file_lacks_change_no_number(dataset, predictions):
    expected = CocoMetric(dataset)(predictions)
    dataset.category_ids, dataset.absent_classes = (90, 2, 91), {91: 'horse'}
    assert CocoMetric(dataset)(predictions) == expected


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({}, 'no segmentation, which the metric segm needs'),
        ({'segmentation': None}, 'no segmentation'),
        ({'segmentation': {'size': [SIDE, SIDE], 'counts': [10.0, 9990.0]}}, 'whole numbers'),
        ({'segmentation': [1, 1, 5, 5, 3, 1]}, 'pairs'),
        ({'segmentation': [[1e9, 1, 5, 5, 3, 1]]}, 'coordinate'),
        ({'segmentation': [[1, 1, 5, 5, 3, 1]], 'iscrowd': '0'}, "iscrowd must be 0 or 1, not '0'"),
    ],
)
def test_masks_of_the_truth_are_checked_at_start(dataset, content, tmp_path, change, reason):
    for annotation in content['annotations']:
        annotation |= {'category_id': 90, 'segmentation': [[1, 1, 5, 5, 3, 1]]}
    del content['annotations'][3]['segmentation']
    content['annotations'][3] |= change
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'truth\.json: annotations\[3\] \(id 4\): .*{reason}'):
        CocoMetric(dataset, ['segm'])
    if 'iscrowd' not in change:
        CocoMetric(dataset)
        if change.get('segmentation'):  # which the missing area is computed from
            del content['annotations'][3]['area']
            (tmp_path / 'truth.json').write_text(json.dumps(content))
            with pytest.raises(ValueError, match=rf'\(id 4\): .*{reason}'):
                CocoMetric(dataset)


def test_json_output_scores_the_same(dataset, predictions, tmp_path, content):
    metric = CocoMetric(dataset)
    scores = metric(predictions)
    metric.write(tmp_path / 'out' / 'r.json')
    content['categories'] = [c for c in content['categories'] if c['id'] != 7]
    numbers = evaluate_coco(content, tmp_path / 'out' / 'r.json')
    assert {f'bbox_{k}': v for k, v in numbers.items()}.items() <= scores.items()


def test_pickle_output_is_the_release_format(dataset, predictions, tmp_path):
    metric = CocoMetric(dataset)
    metric(predictions)
    metric.write(tmp_path / 'r.pkl')
    images = pickle.loads((tmp_path / 'r.pkl').read_bytes())
    by_id = {meta.image_id: found for meta, found in predictions}
    assert len(images) == 3
    for image, rows in zip((30, 10, 20), images):
        found = by_id[image]
        assert len(rows) == 2
        for label, one in enumerate(rows):
            assert one.dtype == np.float32
            assert one.shape == (int((found.labels == label).sum()), 5)
            own = found.boxes[found.labels == label].numpy()
            np.testing.assert_array_equal(one[:, :4], own - np.array([0, 0, 1, 1], np.float32))
            np.testing.assert_array_equal(one[:, 4], found.scores[found.labels == label])


def test_masks(dataset, predictions, tmp_path, content):
    for annotation in content['annotations']:
        annotation['segmentation'] = _square(annotation['bbox'])
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    for _, found in predictions:
        found.masks = [
            _square([x1, y1, x2 - x1, y2 - y1]) for x1, y1, x2, y2 in found.boxes.tolist()
        ]
    metric = CocoMetric(dataset, ['bbox', 'segm'])
    assert metric(predictions)['segm_AP'] > 0
    metric.write(tmp_path / 'r.json')
    assert isinstance(json.loads((tmp_path / 'r.json').read_text())[0]['segmentation'], dict)
    metric.write(tmp_path / 'r.pkl')
    boxes, masks = pickle.loads((tmp_path / 'r.pkl').read_bytes())[0]
    assert [len(m) for m in masks] == [len(b) for b in boxes]


def _square(box):
    x, y, w, h = box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    encoded = rle.merge(rle.frPyObjects([polygon], SIDE, SIDE))
    return {'size': [SIDE, SIDE], 'counts': encoded['counts'].decode()}


def test_another_suffix_is_refused(dataset, predictions, tmp_path):
    with pytest.raises(ValueError, match=r'\.json or \.pkl'):
        CocoMetric(dataset).write(tmp_path / 'r.txt')


def test_masks_of_a_model_without_them(dataset, predictions, content):
    for annotation in content['annotations']:
        annotation['segmentation'] = _square(annotation['bbox'])
    Path(dataset.ann_file).write_text(json.dumps(content))
    metric = CocoMetric(dataset, ['bbox', 'segm'])
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), None)
    for found in (predictions, [(meta, nothing) for meta, _ in predictions]):
        with pytest.raises(ConfigError, match=r'predicts no masks.*--eval bbox'):
            metric(found)
    nothing.masks = []  # a model with masks that finds nothing
    assert metric([(meta, nothing) for meta, _ in predictions])['segm_AP'] == 0
