"""COCO's numbers, against pycocotools and against what COCO published."""

import contextlib
import copy
import io
import json
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet.evaluation import (
    CocoAnnotations,
    evaluate,
    evaluate_coco,
    flatten,
    mmdetection_names,
)

NAMES = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl']


def pycocotools_numbers(truth, results, kind='bbox', limits=None):
    """pycocotools by its own means; only what it cannot read (no results) is done by hand."""
    truth, results = copy.deepcopy(truth), copy.deepcopy(results)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        if results:
            found = reference.loadRes(results)
        else:
            found = COCO()
            found.dataset = {**truth, 'annotations': []}
            found.createIndex()
        run = COCOeval(reference, found, kind)
        if limits:
            run.params.maxDets, run.params.useCats = limits, 0
        run.evaluate()
        run.accumulate()
        if limits:
            recall = run.eval['recall']
            cells = [recall[:, :, 0, m] for m in range(3)]
            cells += [recall[:, :, a, 2] for a in (1, 2, 3)]
            return [np.mean(c[c > -1]) if (c > -1).any() else -1 for c in cells]
        run.summarize()
    return run.stats.tolist()


def random_scene(seed, images=4, classes=3, with_masks=False):
    """Objects of all sizes, crowds, ties in the scores, boxes that nearly match."""
    rng = np.random.default_rng(seed)
    side = 240
    truth = {
        'images': [{'id': 10 * i + 3, 'height': side, 'width': side} for i in range(images)],
        'categories': [{'id': 2 * c + 1, 'name': f'class {c}'} for c in range(classes)],
        'annotations': [],
    }
    results = []

    def shape(box):
        x, y, w, h = box
        mask = np.zeros((side, side), np.uint8, order='F')
        mask[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = 1
        encoded = rle.encode(mask)
        return {'size': [side, side], 'counts': encoded['counts'].decode()}

    for image in truth['images']:
        for _ in range(rng.integers(0, 6)):
            w, h = rng.choice([8, 40, 130], 2) * rng.uniform(0.5, 1, 2)
            x, y = rng.uniform(0, side - 131, 2)
            box = [float(v) for v in (x, y, w, h)]
            category = int(rng.choice([c['id'] for c in truth['categories']]))
            annotation = {
                'id': len(truth['annotations']) + 1,
                'image_id': image['id'],
                'category_id': category,
                'bbox': box,
                'area': w * h * rng.uniform(0.3, 1),
                'iscrowd': int(rng.random() < 0.2),
            }
            if with_masks:
                annotation['segmentation'] = shape(box)
            truth['annotations'].append(annotation)
            for _ in range(rng.integers(0, 4)):
                near = np.array(box) + rng.normal(0, 0.06, 4) * [w, h, w, h]
                near[2:] = np.maximum(near[2:], 1)
                near[:2] = near[:2].clip(0, side - 132)
                result = {
                    'image_id': image['id'],
                    'category_id': category if rng.random() < 0.9 else 1,
                    'score': float(np.round(rng.random(), 1)),
                }
                shaped = {'segmentation': shape(near)} if with_masks else {'bbox': near.tolist()}
                results.append(result | shaped)
    rng.shuffle(results)
    return truth, results


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_published_numbers(data_dir, kind):
    folder = data_dir / 'cocoapi'
    block = (folder / 'val2014_fake_eval_res.txt').read_text().split('type=')
    text = next(part for part in block if part.startswith(kind))
    published = [float(v) for v in re.findall(r'\] = (\d\.\d+)', text)]
    assert len(published) == 12
    numbers = evaluate_coco(
        folder / 'instances_val2014_100.json',
        folder / f'instances_val2014_fake{kind}100_results.json',
        kind,
    )
    assert list(numbers) == NAMES
    assert [round(v, 3) for v in numbers.values()] == published


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_published_scenario_bit_for_bit(data_dir, kind):
    folder = data_dir / 'cocoapi'
    truth = json.loads((folder / 'instances_val2014_100.json').read_text())
    results = json.loads((folder / f'instances_val2014_fake{kind}100_results.json').read_text())
    expected = pycocotools_numbers(truth, results, kind)
    assert list(evaluate_coco(truth, results, kind).values()) == expected


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_boxes_bit_for_bit(seed):
    truth, results = random_scene(seed)
    expected = pycocotools_numbers(truth, results)
    assert list(evaluate_coco(truth, results).values()) == expected


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_masks_bit_for_bit(seed):
    truth, results = random_scene(seed, images=2, with_masks=True)
    expected = pycocotools_numbers(truth, results, 'segm')
    assert list(evaluate_coco(truth, results, 'segm').values()) == expected


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_proposals_bit_for_bit(seed):
    truth, results = random_scene(seed)
    numbers = evaluate_coco(truth, results, 'proposal')
    assert list(numbers) == ['AR100', 'AR300', 'AR1000', 'ARs', 'ARm', 'ARl']
    expected = pycocotools_numbers(truth, results, limits=[100, 300, 1000])
    assert list(numbers.values()) == expected


def test_pycocotools_takes_over_and_says_so(monkeypatch, caplog):
    truth, results = random_scene(5, with_masks=True)
    boxes = [{**r, 'bbox': rle.toBbox(r['segmentation']).tolist()} for r in results]
    fast = [evaluate_coco(truth, boxes, kind) for kind in ('bbox', 'segm', 'proposal')]
    assert not caplog.records
    monkeypatch.setitem(sys.modules, 'hotcoco', None)  # makes its import fail
    slow = [evaluate_coco(truth, boxes, kind) for kind in ('bbox', 'segm', 'proposal')]
    assert slow == fast
    assert 'pip install hotcoco' in caplog.text
    assert evaluate_coco(truth, [])['AP'] == 0


@pytest.mark.parametrize('kind', ['bbox', 'segm', 'proposal', 'proposal_fast'])
def test_no_results_is_zero_and_explained(kind, caplog):
    truth, _ = random_scene(1, with_masks=True)
    numbers = evaluate_coco(truth, [], kind)
    assert set(numbers.values()) <= {0.0, -1.0}
    assert next(iter(numbers.values())) == 0
    assert 'no detection on any of 4 images' in caplog.text
    if kind == 'bbox':
        assert list(numbers.values()) == pycocotools_numbers(truth, [])


@pytest.mark.parametrize('kind', ['bbox', 'proposal', 'proposal_fast'])
def test_no_objects_is_minus_one_and_explained(kind, caplog):
    truth, results = random_scene(1)
    truth['annotations'] = [a for a in truth['annotations'] if a['iscrowd']]
    assert set(evaluate_coco(truth, results, kind).values()) == {-1.0}
    assert 'no object' in caplog.text


def test_per_class_ap_is_that_of_the_class_alone():
    truth, results = random_scene(2, images=8)
    scores = evaluate(CocoAnnotations.read(truth), results)
    assert list(scores.per_class) == ['class 0', 'class 1', 'class 2']
    for category in truth['categories']:
        one = {
            **truth,
            'categories': [category],
            'annotations': [a for a in truth['annotations'] if a['category_id'] == category['id']],
        }
        own = [r for r in results if r['category_id'] == category['id']]
        row = scores.per_class[category['name']]
        assert [row['AP'], row['AP50']] == pycocotools_numbers(one, own)[:2]


def test_missing_area_and_iscrowd_are_filled_in():
    truth, results = random_scene(3, with_masks=True)
    boxes = [{**r, 'bbox': rle.toBbox(r['segmentation']).tolist()} for r in results]
    whole, bare = copy.deepcopy(truth), copy.deepcopy(truth)
    for full, thin in zip(whole['annotations'], bare['annotations']):
        del thin['area'], thin['iscrowd']
        full['area'], full['iscrowd'] = float(rle.area(full['segmentation'])), 0
    assert evaluate_coco(bare, boxes) == evaluate_coco(whole, boxes)
    for full, thin in zip(whole['annotations'], bare['annotations']):
        del thin['segmentation']
        full['area'] = full['bbox'][2] * full['bbox'][3]
    assert evaluate_coco(bare, boxes) == evaluate_coco(whole, boxes)


def test_polygon_areas(data_dir):
    truth = json.loads((data_dir / 'cocoapi' / 'instances_val2014_100.json').read_text())
    stated = [a.pop('area') for a in truth['annotations']]
    filled = [a['area'] for a in CocoAnnotations.read(truth).annotations]
    # COCO states the polygon's own area, the raster's differs by the pixels along its outline
    np.testing.assert_allclose(filled, stated, rtol=0.5, atol=30)


@pytest.mark.parametrize('engine', ['hotcoco', 'pycocotools'])
def test_string_image_ids_and_an_annotation_id_of_zero(engine, monkeypatch):
    """pycocotools alone takes a match with annotation 0 for none."""
    truth, results = random_scene(4)
    first = truth['annotations'][0]
    first['iscrowd'] = 0
    results.append({k: first[k] for k in ('image_id', 'category_id', 'bbox')} | {'score': 1.0})
    expected = evaluate_coco(truth, results)
    if engine == 'pycocotools':
        monkeypatch.setitem(sys.modules, 'hotcoco', None)
    for record in (*truth['annotations'], *results):
        record['image_id'] = f'image {record["image_id"]:03d}'
    for image in truth['images']:
        image['id'] = f'image {image["id"]:03d}'
    for annotation in truth['annotations']:
        annotation['id'] -= 1
    assert evaluate_coco(truth, results) == expected


def test_inputs_stay_as_they_were():
    truth, results = random_scene(4, with_masks=True)
    before = copy.deepcopy((truth, results))
    for kind in ('bbox', 'segm'):
        evaluate_coco(truth, results if kind == 'segm' else [], kind)
    assert (truth, results) == before


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda r: r.update(score=float('nan')), r'result 1 .*not a finite number \(1 of'),
        (lambda r: r['bbox'].__setitem__(2, float('inf')), 'result 1 .*not a finite number'),
        (lambda r: r.update(image_id=99), r'result 1 first.*not in the annotations.*3, 13'),
        (lambda r: r.update(category_id=80), 'category ids 80, the annotations have 1, 3, 5'),
        (lambda r: r.pop('score'), "result 1 has no key 'score'"),
        (lambda r: r.update(bbox=[1, 2, 3]), r'result 1: bbox is \[x, y, w, h\]'),
    ],
)
def test_results_that_cannot_be_scored_are_named(change, message):
    truth, results = random_scene(6)
    change(results[1])
    with pytest.raises(ValueError, match=message):
        evaluate_coco(truth, results)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda r: r.update(score=float('nan')), 'result 0 .*not a finite number'),
        (lambda r: r.update(segmentation=[[0, 0, 5, 0, 5, 5]]), 'result 0: segmentation is an RLE'),
        (lambda r: r['segmentation'].update(size=[5, 5]), r'mask of \(5, 5\).*\(240, 240\)'),
    ],
)
def test_masks_that_cannot_be_scored_are_named(change, message):
    truth, results = random_scene(6, with_masks=True)
    change(results[0])
    with pytest.raises(ValueError, match=message):
        evaluate_coco(truth, results, 'segm')


def test_files_that_are_no_annotations_are_named(tmp_path):
    path = tmp_path / 'a.json'
    for content, message in (
        ('{', 'a.json: not JSON'),
        ('[]', 'a.json: .*a dict'),
        ('{}', "a.json: no 'images'"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            evaluate_coco(path, [])
    with pytest.raises(ValueError, match=r"kind='box'.*bbox, segm, proposal, proposal_fast"):
        evaluate_coco(random_scene(0)[0], [], 'box')


def test_tables():
    truth, results = random_scene(7)
    scores = evaluate(CocoAnnotations.read(truth), results)
    names, whole, head, *classes, note = str(scores).splitlines()
    assert names.split() == ['bbox', 'in', '%', *scores.numbers]
    values = [f'{100 * v:.1f}' if v >= 0 else '-' for v in scores.numbers.values()]
    assert whole.split() == ['all', *values]
    assert head.split() == ['class', 'AP', 'AP50', 'precision', 'recall']
    assert len(classes) == len(truth['categories'])
    assert classes[1].split()[:3] == [
        'class',
        '1',
        f'{100 * scores.per_class["class 1"]["AP"]:.1f}',
    ]
    assert 'best F1' in note
    assert max(map(len, str(scores).splitlines())) <= 100


def test_the_best_f1_of_a_class_is_hotcocos():
    """Three of four objects found before the first of two wrong detections."""
    hotcoco = pytest.importorskip('hotcoco')
    size = dict(width=200, height=200)
    truth = dict(images=[dict(id=1, **size)], categories=[dict(id=1, name='a')], annotations=[])
    boxes = [[40 * i, 10, 30, 30] for i in range(4)]
    for i, box in enumerate(boxes, 1):
        entry = dict(id=i, image_id=1, category_id=1, bbox=box, area=900, iscrowd=0)
        truth['annotations'].append(entry)
    places = [*boxes[:3], [0, 100, 30, 30], [50, 100, 30, 30], boxes[3]]
    results = [
        dict(image_id=1, category_id=1, bbox=box, score=0.9 - 0.1 * i)
        for i, box in enumerate(places)
    ]
    row = evaluate(CocoAnnotations.read(truth), results).per_class['a']
    assert row['precision'] == 1
    assert row['recall'] == pytest.approx(0.75)
    assert row['score'] == pytest.approx(0.7)
    coco = hotcoco.COCO()
    coco.dataset = truth
    run = hotcoco.COCOeval(coco, coco.load_res(results), 'bbox')
    run.run()
    assert row['F1'] == pytest.approx(run.f_scores()['F1_50'])
    assert row['F1'] == pytest.approx(2 * 0.75 / 1.75)


def test_metrics_by_class_have_flat_names():
    truth, results = random_scene(7)
    truth['categories'].append(dict(id=99, name='absent'))
    metrics = flatten({'bbox': evaluate(CocoAnnotations.read(truth), results)})
    assert next(iter(metrics)) == 'bbox_AP'
    assert {f'bbox_{n}.class 1' for n in ('AP', 'AP50', 'precision', 'recall')} <= set(metrics)
    assert not any(name.endswith('.absent') for name in metrics)


def test_the_names_of_mmdetection():
    metrics = {'bbox_AP': 0.4, 'bbox_AP50': 0.6, 'bbox_APs': -1.0, 'segm_AP75': 0.3, 'mIoU': 0.5}
    assert mmdetection_names(metrics) == {
        'bbox_mAP': 0.4,
        'bbox_mAP_50': 0.6,
        'bbox_mAP_s': -1.0,
        'segm_mAP_75': 0.3,
    }
