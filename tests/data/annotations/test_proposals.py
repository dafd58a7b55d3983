"""Proposal files, JSON and npz."""

import json
import pickle

import numpy as np
import pytest

from hrdet.data import DataError, DataWarning, RandomFlip, build_loader
from hrdet.data.annotations.proposals import read_proposals

BOXES = np.array([[1, 2, 11, 22], [5, 5, 25, 15], [0, 0, 9, 9]], np.float32)
SCORES = np.array([0.2, 0.9, 0.5], np.float32)


@pytest.fixture(params=['json', 'npz'])
def proposal_file(request, tmp_path):
    path = tmp_path / f'proposals.{request.param}'
    if request.param == 'npz':
        np.savez(path, image_ids=np.array([7, 7, 8]), boxes=BOXES, scores=SCORES)
    else:
        sizes = BOXES[:, 2:] - BOXES[:, :2]
        rows = [
            {
                'image_id': i,
                'bbox': [*map(float, box[:2]), *map(float, size)],
                'score': float(score),
            }
            for i, box, size, score in zip((7, 7, 8), BOXES, sizes, SCORES)
        ]
        path.write_text(json.dumps(rows))
    return str(path)


def test_best_first_by_image(proposal_file):
    found = read_proposals(proposal_file)
    assert found.keys() == {7, 8}
    np.testing.assert_array_equal(found[7][:, :4], BOXES[[1, 0]])
    np.testing.assert_array_equal(found[7][:, 4], SCORES[[1, 0]])
    assert len(read_proposals(proposal_file, 1)[7]) == 1


def test_they_travel_with_the_sample(coco_folder, proposal_file):
    with pytest.warns(DataWarning, match='proposal_file: 1 of 3 images have no proposals'):
        dataset = coco_folder.load(
            [RandomFlip(1)], proposal_file=proposal_file, num_max_proposals=1, test_mode=True
        )
    assert dataset[0].proposals.rows.tolist() == [[64 - 25, 5, 64 - 5, 15, np.float32(0.9)]]
    assert dataset[2].proposals.rows.shape == (0, 5)
    batches = list(build_loader(dataset, 2, num_workers=0, training=False))
    assert batches[0].proposals.shape == (2, 1, 5)
    assert batches[1].proposals[0, 0, 4] == -1


def test_proposals_of_other_images_are_refused(coco_folder, tmp_path):
    """Each image would have none, without a word: ids that are texts are other ids."""
    ids = np.array(['7', '7', '8'])
    np.savez(tmp_path / 'p.npz', image_ids=ids, boxes=BOXES, scores=SCORES)
    with pytest.raises(DataError, match=r"3 of 3 images have no .* has the ids '7', '8'"):
        coco_folder.load(proposal_file=str(tmp_path / 'p.npz'))


def test_bad_files(tmp_path):
    pickled = tmp_path / 'p.pkl'
    pickled.write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match=r'p\.pkl: must be \.json'):
        read_proposals(str(pickled))
    with pytest.raises(DataError, match=r'there is no file .*gone\.json'):
        read_proposals(str(tmp_path / 'gone.json'))
    text = tmp_path / 'p.json'
    for content, reason in (
        ('[', 'JSONDecodeError'),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "KeyError: 'score'"),
        ('[{"image_id": 1, "bbox": [1, 2, NaN, 4], "score": 1}]', 'entry 0 is not finite'),
        ('[{"image_id": 1, "bbox": [1, 2, 3], "score": 1}]', 'ValueError'),
    ):
        text.write_text(content)
        with pytest.raises(DataError, match=rf'p\.json: {reason}'):
            read_proposals(str(text))


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


def test_nothing_is_unpickled(tmp_path):
    objects, trace = tmp_path / 'p.npz', tmp_path / 'trace'
    ids = np.array([Touch(str(trace))] * 3, object)
    np.savez(objects, image_ids=ids, boxes=BOXES, scores=SCORES)
    with pytest.raises(DataError, match=r'p\.npz: ValueError'):
        read_proposals(str(objects))
    assert not trace.exists()
