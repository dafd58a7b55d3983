"""tools/paint_semantic.py: maps of a data set's own masks."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from hrdet.data import CocoDataset
from hrdet.data.shapes import make_shapes

TOOL = Path(__file__).resolve().parents[2] / 'tools/paint_semantic.py'


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp('shapes'), train=4, val=1, size=(64, 96))


def run(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')


def test_maps_hold_the_classes_of_the_masks(shapes, tmp_path, capsys):
    images = Path(shapes.train_ann).parents[1] / 'train'
    run(shapes.train_ann, images, tmp_path / 'maps')
    assert 'num_classes=7' in capsys.readouterr().out
    truth = COCO(shapes.train_ann)
    for image in truth.loadImgs(truth.getImgIds()):
        found = cv2.imread(
            str(tmp_path / 'maps' / image['file_name']).replace('.jpg', '.png'),
            cv2.IMREAD_UNCHANGED,
        )
        annotations = truth.loadAnns(truth.getAnnIds(imgIds=image['id']))
        masks = [truth.annToMask(a) for a in annotations if not a['iscrowd']]
        labels = [truth.getCatIds().index(a['category_id']) for a in annotations]
        labels = [k for k, a in zip(labels, annotations) if not a['iscrowd']]
        covered = np.sum(masks, 0) if masks else np.zeros(found.shape, int)
        assert set(np.unique(found[covered == 0])) <= {6, 255}
        for mask, label in zip(masks, labels):
            assert (found[(mask == 1) & (covered == 1)] == label).all()
    # They are what data.train.seg_prefix reads.
    dataset = CocoDataset(
        shapes.train_ann, str(images), with_mask=True, seg_prefix=str(tmp_path / 'maps')
    )
    assert dataset[0].truth.semantic.shape == (64, 96)


def test_small_objects_lie_over_large_ones_and_crowds_below():
    semantic_map = runpy.run_path(str(TOOL))['semantic_map']
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[0, 1, 1] = 1
    masks[1, :2, :2] = 1
    truth = type('Truth', (), dict(masks=masks, labels=[0, 1], ignored=[[0.0, 0, 3, 1]]))
    expected = [[1, 1, 255, 2], [1, 0, 2, 2], [2] * 4, [2] * 4]
    assert semantic_map(truth, 2, (4, 4)).tolist() == expected


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r'error: ann_file: .*none\.json'):
        run(tmp_path / 'none.json', tmp_path, tmp_path / 'out')
