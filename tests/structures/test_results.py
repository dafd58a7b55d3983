"""What detections can be turned into."""

import json

import numpy as np
import pytest
import torch

from hrdet.structures import Detections


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
