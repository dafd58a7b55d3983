"""Golden data of mmpretrain and mmsegmentation, and the random numbers they were made with."""

import cv2
import numpy as np
import pytest


class LegacyStream(np.random.RandomState):
    """The random numbers of ``numpy.random.seed`` under the names of numpy's generator."""

    integers = np.random.RandomState.randint


class Golden:
    """One of the files, arrays by name and images by the name of their PNG."""

    def __init__(self, path):
        self.arrays = np.load(path, allow_pickle=False)
        self.names = self.arrays.files

    def __getitem__(self, name):
        return self.arrays[name]

    def image(self, name):
        return cv2.imdecode(self.arrays[name], cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope='session')
def legacy_stream():
    """``legacy_stream(seed)``: draws as the originals drew."""
    return LegacyStream


@pytest.fixture(scope='session')
def golden_cls(reference_dir):
    """What mmpretrain's transforms gave."""
    return Golden(reference_dir / 'cls_transforms.npz')


@pytest.fixture(scope='session')
def golden_seg(reference_dir):
    """What mmsegmentation's transforms gave."""
    return Golden(reference_dir / 'seg_ops.npz')


@pytest.fixture(scope='session')
def photo(data_dir):
    """``photo(name)``: an image of COCO val2017 as stored, (h, w, 3) BGR."""

    def read(name):
        path = next((data_dir / 'coco_tiny').rglob(f'{name}.jpg'))
        return cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)

    return read
