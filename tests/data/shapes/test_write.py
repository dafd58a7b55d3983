"""The generated data set: sound annotations, equal bytes, everything that real ones have."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from hrdet.data import CocoDataset
from hrdet.data.shapes import make_shapes
from hrdet.data.shapes.scenes import CLASSES, GROUNDS, LEAST_PIXELS, draw_scene


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    return make_shapes(str(tmp_path_factory.mktemp('shapes')), 60, 8)


def contents(root):
    root = Path(root)
    return {p.relative_to(root): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def test_equal_arguments_give_equal_bytes(tmp_path):
    for name, arguments in (('a', (4, 2, (80, 96), 5)), ('b', (4, 2, (80, 96), 5))):
        make_shapes(str(tmp_path / name), *arguments)
    a = contents(tmp_path / 'a')
    assert a == contents(tmp_path / 'b')
    assert len(a) == 2 + 2 * 6
    make_shapes(str(tmp_path / 'more'), 6, 2, (80, 96), 5)
    more = contents(tmp_path / 'more')
    assert all(more[p] == data for p, data in a.items() if p.suffix != '.json')
    make_shapes(str(tmp_path / 'other'), 4, 2, (80, 96), 6)
    assert contents(tmp_path / 'other')[Path('train/000001.jpg')] != a[Path('train/000001.jpg')]
    train, val = (a[Path(part, '000001.jpg')] for part in ('train', 'val'))
    assert train != val


def test_annotations_agree_with_the_scenes(shapes):
    """Boxes exact, areas exact, crowds exact; polygons to a few boundary pixels."""
    coco = COCO(shapes.train_ann)
    overlaps = []
    for image_id in coco.getImgIds():
        scene = draw_scene((192, 256), np.random.default_rng((0, 0, image_id)))
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        assert len(annotations) == len(scene.things)
        for annotation, thing in zip(annotations, scene.things):
            x, y, w, h = annotation['bbox']
            rows, columns = np.nonzero(thing.visible)
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
            assert annotation['area'] == thing.visible.sum() >= LEAST_PIXELS
            assert annotation['iscrowd'] == thing.crowd
            assert coco.cats[annotation['category_id']]['name'] == CLASSES[thing.label]
            mask = coco.annToMask(annotation).astype(bool)
            overlaps.append((mask & thing.visible).sum() / (mask | thing.visible).sum())
            if thing.crowd:
                assert overlaps[-1] == 1
    # Outlines are smoothed by half a pixel, and COCO rasterises polygons to its own rule.
    assert min(overlaps) > 0.75
    assert np.mean(overlaps) > 0.94


def test_everything_occurs(shapes):
    coco = COCO(shapes.train_ann)
    annotations = list(coco.anns.values())
    single = [a for a in annotations if not a['iscrowd']]
    areas = np.array([a['area'] for a in single])
    assert (areas < 32**2).any()
    assert (areas > 96**2).any()
    assert ((areas >= 32**2) & (areas <= 96**2)).mean() > 0.5
    assert 1 <= len(annotations) - len(single) <= 15
    assert all(isinstance(a['segmentation'], list) for a in single)
    assert all(isinstance(a['segmentation']['counts'], list) for a in annotations if a['iscrowd'])
    counts = np.bincount([a['category_id'] for a in single])
    assert len(counts[counts > 0]) == len(CLASSES) >= 5
    assert counts[counts > 0].min() > 10
    ids = np.array(sorted(coco.cats))
    assert (np.diff(ids) > 1).all()
    overlapping = 0
    for image_id in coco.getImgIds():
        boxes = np.array([a['bbox'] for a in coco.loadAnns(coco.getAnnIds(imgIds=image_id))])
        x1, y1, x2, y2 = *boxes.T[:2], *(boxes[:, :2] + boxes[:, 2:]).T
        width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
        height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
        overlapping += ((width > 0) & (height > 0)).sum() > len(boxes)
    assert overlapping > 20


def test_every_thing_shows_enough_and_all_shapes_are_annotated():
    """What is painted is exactly what is annotated: erase the things, and ground is left."""
    for seed in range(12):
        scene = draw_scene((96, 128), np.random.default_rng(seed))
        together = np.zeros((96, 128), int)
        for thing in scene.things:
            together += thing.visible
        assert together.max(initial=0) <= 1


def test_maps_of_things_and_stuff(shapes):
    coco = COCO(shapes.train_ann)
    labels = set()
    for image_id, image in coco.imgs.items():
        path = Path(shapes.train_maps, image['file_name']).with_suffix('.png')
        found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert found.shape == (192, 256)
        assert found.dtype == np.uint8
        labels |= set(np.unique(found).tolist())
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image_id)):
            inside = found[coco.annToMask(annotation) > 0]
            label = annotation['category_id'] // 10 - 1
            assert np.isin(inside, (label, 255)).mean() > 0.9
    assert labels == {*range(len(CLASSES) + len(GROUNDS)), 255}
    info = json.loads(Path(shapes.train_ann).read_text())['info']
    assert set(info['stuff']) == {str(len(CLASSES) + i) for i in range(len(GROUNDS))}


def test_loads_as_any_coco_data_set(shapes):
    dataset = CocoDataset(
        shapes.val_ann, shapes.val_images, with_mask=True, seg_prefix=shapes.val_maps
    )
    assert dataset.classes == CLASSES
    assert not dataset.reports[0].problems
    for i in range(len(dataset)):
        truth = dataset[i].truth
        assert truth.masks.any(axis=(1, 2)).all()
        assert truth.semantic.shape == (192, 256)


def test_too_small():
    with pytest.raises(ValueError, match='64'):
        make_shapes('nowhere', 1, 1, (32, 64))


def test_the_command(tmp_path, pytestconfig):
    command = [sys.executable, str(pytestconfig.rootpath / 'tools/make_shapes.py')]
    options = f'--out {tmp_path} --train 2 --val 1 --size 64 80 --seed 3'.split()
    done = subprocess.run(command + options, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'2 images: {tmp_path}/annotations/instances_train.json' in done.stdout
    make_shapes(str(tmp_path / 'again'), 2, 1, (64, 80), 3)
    again = contents(tmp_path / 'again')
    assert all((tmp_path / path).read_bytes() == data for path, data in again.items())
