"""``on_bad_image='skip'``: what is left out in a test, and what takes its place in training."""

from pathlib import Path

import numpy as np
import pytest

from hrdet.data import (
    ClassFolders,
    ConcatDataset,
    DataError,
    SampleKey,
    build_loader,
    skip_bad_images,
)
from hrdet.evaluation import CocoMetric
from hrdet.structures import Detections


@pytest.fixture
def animals(class_folders):
    """Six images, one of which is cut off: its index is 1."""
    path = class_folders / 'train/ant/1.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    return lambda transforms=(): ClassFolders(
        data_prefix=str(class_folders / 'train'), transforms=transforms
    )


def draw(sample, rng):
    """Note the first random number in the image."""
    sample.image[0, 0] = rng.integers(256, size=3)
    return sample


def test_a_test_has_the_other_images(animals, caplog):
    dataset = skip_bad_images(animals(), training=False, everything=True, workers=0)
    names = [f'{name}.jpg' for name in ('ant/0', 'ant/2', 'bee/0', 'bee/1', 'cat/0')]
    assert dataset.image_ids == names
    assert [sample.meta.image_id for sample in map(dataset.__getitem__, range(5))] == names
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2]
    first, second = dataset.left_out()
    assert '1 of 6 images left out (on_bad_image=' in first
    assert first.endswith('all metrics are of the others')
    assert 'ant/1.jpg: the JPEG is cut off' in second
    assert first in caplog.text


def test_metrics_are_of_the_other_images(coco_folder):
    Path(coco_folder.img_prefix, '1.jpg').write_bytes(b'broken')
    dataset = skip_bad_images(coco_folder.load(test_mode=True), False, True, 0)
    assert dataset.image_ids == [7, 9]
    metric = CocoMetric(dataset)
    for index in range(2):
        truth = dataset.truth(index)
        scores = np.ones(len(truth.boxes), np.float32)
        metric.update(dataset[index].meta, Detections(truth.boxes, scores, truth.labels))
    assert metric.compute()['bbox_AP'] == 1.0, 'the objects of the bad image are not missed'


@pytest.mark.parametrize('everything', [True, False], ids=['found at start', 'found when drawn'])
def test_in_training_another_image_is_drawn_by_the_key(animals, monkeypatch, everything):
    if not everything:
        monkeypatch.setattr('hrdet.data.datasets.skipping.bad_images', lambda *_: {})
    dataset = skip_bad_images(animals([draw]), training=True, everything=True, workers=0)
    assert len(dataset) == 6
    plain, drawn = animals([draw]), set()
    for epoch in range(8):
        key = SampleKey(1, epoch, seed=3)
        sample = dataset[key]
        drawn.add(sample.meta.image_id)
        expected = plain.sample(
            plain.image_ids.index(sample.meta.image_id), np.random.default_rng((3, epoch, 1))
        )
        np.testing.assert_array_equal(sample.image, expected.image)
        other = SampleKey(2, epoch, seed=3)
        np.testing.assert_array_equal(dataset[other].image, plain[other].image)
    assert len(drawn) > 2
    assert 'ant/1.jpg' not in drawn
    assert '1 of 6 images left out' in dataset.left_out()[0]


def test_the_order_is_the_same_whenever_the_image_breaks(class_folders):
    """What is seen after a resume is what the uninterrupted run saw."""

    def seen(dataset, workers):
        loader = build_loader(dataset, 1, workers, seed=5)
        return [batch.metas[0].image_id for batch in loader]

    root = class_folders / 'train'
    runs = [skip_bad_images(ClassFolders(data_prefix=str(root)), True, True, 0)]
    path = root / 'ant/1.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    runs.append(skip_bad_images(ClassFolders(data_prefix=str(root)), True, True, 0))
    first, second = (seen(dataset, workers) for dataset, workers in zip(runs, (1, 0)))
    assert first == second
    assert len(first) == 6
    assert runs[0].left_out() == runs[1].left_out(), 'a worker has told the main process'


def test_of_joined_data_sets_and_too_many(animals, class_folders):
    joined = ConcatDataset([animals(), animals()])
    dataset = skip_bad_images(joined, False, True, 0)
    assert len(dataset) == 10
    for path in (class_folders / 'train').rglob('*.jpg'):
        path.write_bytes(b'')
    with pytest.raises(DataError, match=r'6 of 6 images cannot be used: too many'):
        skip_bad_images(animals(), True, True, 0)


def test_a_mistake_in_a_transform_is_not_a_bad_image(animals):
    def wrong(sample, rng):
        raise IndexError('a transform of the user')

    dataset = skip_bad_images(animals([wrong]), True, True, 0)
    with pytest.raises(DataError, match='a transform of the user'):
        dataset[0]
