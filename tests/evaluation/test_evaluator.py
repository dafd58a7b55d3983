"""Evaluators are updated on every process and reduce at the end."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from hrdet.evaluation import CocoMetric, Evaluator
from hrdet.evaluation.evaluator import table
from hrdet.registry import ConfigError, build
from hrdet.structures import Detections, ImageMeta
from tests import forked

IMAGES = 7


def data_set():
    """One object of two classes on every image."""
    content = {
        'images': [{'id': i, 'height': 50, 'width': 50} for i in range(IMAGES)],
        'categories': [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}],
        'annotations': [
            {'id': i + 1, 'image_id': i, 'category_id': 1 + i % 2, 'iscrowd': 0, 'area': 100.0,
             'bbox': [float(i), 5.0, 10.0, 10.0]}
            for i in range(IMAGES)
        ],
    }  # fmt: skip
    return SimpleNamespace(
        image_ids=list(range(IMAGES)), category_ids=(1, 2), to_coco=lambda: content
    )


def prediction(image):
    """A box that fits worse from image to image."""
    size = (50, 50)
    boxes = torch.tensor([[image, 5.0, image + 10.0, 15.0 + 0.8 * image]])
    found = Detections(boxes, torch.tensor([0.9 - 0.1 * image]), torch.tensor([image % 2]))
    return ImageMeta(f'{image}.jpg', image, size, size, size), found


def work(rank, world, folder, image_of_rank):
    """One process: its images, twice, as in two validations of a run."""
    store = f'file://{folder}/store'
    dist.init_process_group('gloo', store, rank=rank, world_size=world)
    metric = build(dict(type='CocoMetric', metrics=['bbox']), dataset=data_set())
    for _ in range(2):
        for image in image_of_rank[rank]:
            metric.update(*prediction(image))
        metrics = metric.compute()
    (folder / f'metrics_{rank}.json').write_text(json.dumps(metrics))
    if rank == 0:
        metric.write(folder / 'results.json')
    dist.destroy_process_group()


def test_processes_reduce_to_the_metrics_of_one(tmp_path):
    alone = CocoMetric(data_set())
    expected = alone(map(prediction, range(IMAGES)))
    assert 0 < expected['bbox_AP'] < 1
    assert next(iter(expected)) == 'bbox_AP'
    forked.start(work, (2, tmp_path, [[4, 5, 6], [0, 1, 2, 3]]), nprocs=2)
    for rank in range(2):
        assert json.loads((tmp_path / f'metrics_{rank}.json').read_text()) == expected
    assert json.loads((tmp_path / 'results.json').read_text()) == alone.results()


def test_the_next_update_begins_another_evaluation():
    metric = CocoMetric(data_set())
    first = metric(map(prediction, range(IMAGES)))
    assert metric(map(prediction, range(IMAGES))) == first
    with pytest.raises(ValueError, match='evaluated 1 of 7 images'):
        metric([prediction(0)])


def test_the_table_is_logged(caplog):
    caplog.set_level('INFO', 'hrdet')
    CocoMetric(data_set())(map(prediction, range(IMAGES)))
    assert re.search(r'bbox in % +AP +AP50 +AP75', caplog.text)


@pytest.mark.parametrize(('classes', 'lines'), [(3, 4), (80, 41)])
def test_tables_fit_into_a_terminal(classes, lines):
    rows = {f'a class called {i}': (i / 100, -1.0, float('nan')) for i in range(classes)}
    text = table('class', ('AP', 'AP50', 'precision'), rows).splitlines()
    assert len(text) == lines
    assert max(map(len, text)) <= 100
    assert text[0].startswith('class ')
    assert text[2].split()[:7] == ['a', 'class', 'called', '1', '1.0', '-', '-']
    assert sum(line.count('a class called') for line in text) == classes


def test_an_evaluator_without_results_to_write(tmp_path):
    class Count(Evaluator):
        def __init__(self):
            self.images = 0

        def update(self, meta, result):
            self.images += 1

        def compute(self):
            return {'images': float(self.images)}

    count = Count()
    assert count(map(prediction, range(3))) == {'images': 3.0}
    with pytest.raises(ConfigError, match=r'out\.json: Count keeps no results'):
        count.write(tmp_path / 'out.json')


def test_results_wait_on_the_device_until_the_end():
    """An update copies nothing: the host runs ahead of the device."""

    class Noted(Detections):
        copied = 0

        def numpy(self):
            Noted.copied += 1
            return super().numpy()

    metric = CocoMetric(data_set())
    for image in range(IMAGES):
        meta, found = prediction(image)
        metric.update(meta, Noted(found.boxes, found.scores, found.labels))
    assert Noted.copied == 0
    metric.compute()
    assert Noted.copied == IMAGES
    assert np.isfinite(metric.results()[0]['score'])
