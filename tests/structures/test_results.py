"""What results can be turned into."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet.structures import ClassScores, Detections, LabelMap


@pytest.fixture
def found():
    return Detections(
        torch.tensor([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 1.0, 1.0]]),
        torch.tensor([0.75, 0.25], dtype=torch.bfloat16),
        torch.tensor([2, 0]),
        [{'size': [9, 9], 'counts': b'abc'}, {'size': [9, 9], 'counts': 'def'}],
    )


def test_numpy(found):
    arrays = found.numpy()
    assert [a.dtype for a in (arrays.boxes, arrays.scores, arrays.labels)] == [
        np.float32,
        np.float32,
        np.int64,
    ]
    assert arrays.scores.tolist() == [0.75, 0.25]
    assert len(found) == 2


def test_empty():
    empty = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert empty.numpy().boxes.shape == (0, 4)
    assert empty.to_coco() == []


def test_to_coco(found):
    first, second = found.to_coco('img', category_ids=(5, 6, 90))
    assert first == {
        'image_id': 'img',
        'category_id': 90,
        'bbox': [1.0, 2.0, 3.0, 6.0],
        'score': 0.75,
        'segmentation': {'size': [9, 9], 'counts': 'abc'},
    }
    assert second['category_id'] == 5
    assert found.to_coco()[0]['category_id'] == 3


def test_above(found):
    best = found.above(0.5)
    assert best.labels.tolist() == [2]
    assert best.masks == found.masks[:1]
    assert len(found.above(0.75)) == 1


def test_save(found, tmp_path):
    found.save(tmp_path / 'new' / 'a.json', image_id=4)
    assert json.loads((tmp_path / 'new' / 'a.json').read_text()) == found.to_coco(4)
    with pytest.raises(ValueError, match=r'save_picture'):
        found.save(tmp_path / 'a.jpg')


def test_scores_are_written_with_the_five_best(tmp_path):
    scores = ClassScores(torch.tensor([0.1, 0.3, 0.05, 0.3, 0.05, 0.2], dtype=torch.bfloat16))
    file = scores.open_file(tmp_path / 'new', 'abcdef')
    file.add('deep/photo', 'photos/deep/photo.jpg', (4, 5), scores)
    file.close()
    (one,) = json.loads((tmp_path / 'new' / file.name).read_text())
    assert one['path'] == 'photos/deep/photo.jpg'
    assert (one['pred_label'], one['pred_class']) == (1, 'b')  # of equal scores the first
    assert one['pred_score'] == pytest.approx(0.3, abs=1e-2)
    assert [entry['class'] for entry in one['top5']] == ['b', 'd', 'f', 'a', 'c']
    assert scores.top(1) == [(1, one['pred_score'])]


@pytest.mark.parametrize('palette', [((9, 8, 7), (1, 2, 3), (4, 5, 6)), None])
def test_label_maps_are_palette_pngs_of_the_labels(tmp_path, palette):
    labels = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    result = LabelMap(torch.from_numpy(labels), palette=palette).numpy()
    file = result.open_file(tmp_path, ('sky', 'sea', 'Größe'))
    file.add('deep/photo', 'photos/deep/photo.jpg', (2, 3), result)
    file.close()
    with Image.open(tmp_path / 'label_maps/deep/photo.png') as picture:
        assert picture.mode == 'P'
        assert np.array_equal(np.asarray(picture), labels)
        colours = np.array(picture.convert('RGB'))
    bits = (tmp_path / 'label_maps/deep/photo.png').read_bytes()[24]  # of a pixel, in the header
    assert bits == 8
    assert palette is None or tuple(colours[1, 2]) == palette[1]
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 3
    names = (tmp_path / 'label_maps/classes.txt').read_text(encoding='utf-8')
    assert names.splitlines() == ['sky', 'sea', 'Größe']
