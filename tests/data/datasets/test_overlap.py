"""Images that training and validation share."""

import shutil

import cv2
import numpy as np
import pytest
from torch import nn

from hrdet.data import ClassFolders, ConcatDataset, RepeatDataset
from hrdet.data.datasets import overlap
from hrdet.data.datasets.overlap import shared_images
from hrdet.tracking.doubts import doubts


@pytest.fixture
def folder(tmp_path):
    """Makes class folders of some images, whose pixels follow from their numbers."""

    def make(name, numbers):
        for number in numbers:
            path = tmp_path / name / 'ants' / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((8, 8, 3), number, np.uint8))
        return tmp_path / name

    return make


def names(paths):
    return [path.rsplit('/', 1)[1] for path in paths]


def test_the_same_files_are_found_in_wrappers_too(folder):
    a, b = (ClassFolders(data_prefix=str(folder(*x))) for x in (('a', (1, 2, 3)), ('b', (4, 5))))
    assert names(shared_images(a, a)) == ['1.png', '2.png', '3.png']
    assert shared_images(a, b) == []
    assert names(shared_images(RepeatDataset(ConcatDataset([a, b]), 2), b)) == ['4.png', '5.png']


def test_copies_are_found_and_other_images_of_their_names_are_not(folder, tmp_path):
    train, val = folder('train', (1, 2, 3)), folder('val', (1, 3))
    cv2.imwrite(str(val / 'ants' / '3.png'), np.full((8, 8, 3), 9, np.uint8))
    shutil.copy(train / 'ants' / '2.png', val / 'ants' / '2.png')
    sets = [ClassFolders(data_prefix=str(path)) for path in (train, val)]
    assert names(shared_images(*sets)) == ['1.png', '2.png']


def test_copies_of_other_names_are_told_by_a_training_too(folder, monkeypatch):
    """Of images of one size each is read once, not once for each pair."""
    train, val = folder('train', range(9)), folder('val', (20, 21, 22))
    shutil.copy(train / 'ants' / '2.png', val / 'ants' / 'x.png')
    sets = [ClassFolders(data_prefix=str(path)) for path in (train, val)]
    assert shared_images(*sets) == []
    read, of_file = [], overlap.read_bytes
    monkeypatch.setattr(overlap, 'read_bytes', lambda path: read.append(path) or of_file(path))
    assert names(shared_images(*sets, any_name=True)) == ['x.png']
    assert len(read) == len(set(read))
    (text,) = doubts(nn.Linear(1, 1), None, *sets)
    assert text.startswith('1 of 4 validation images are training images, such as ')


def test_members_of_archives_are_not_compared_with_each_other(folder, monkeypatch):
    """Their sizes are unknown: every pair of two archives would be."""
    train, val = (ClassFolders(data_prefix=str(folder(*x))) for x in (('a', (1, 2)), ('b', (1, 3))))
    monkeypatch.setattr(overlap, '_paths', lambda dataset: [f'{dataset.source}.zip/1.png'])
    monkeypatch.setattr(overlap, '_digest', lambda path: pytest.fail(f'read {path}'))
    assert shared_images(train, val, any_name=True) == []
