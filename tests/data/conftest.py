"""Small data sets to load: written on the spot, or the real ones beside the checkout."""

import copy
import json

import cv2
import numpy as np
import pytest

from hrdet.data import CocoDataset

POLYGON = [10.0, 10.0, 40.0, 10.0, 40.0, 30.0, 10.0, 30.0]


class CocoFolder:
    """A COCO data set of three images that a test may break before it is written."""

    def __init__(self, root):
        self.root = root
        self.ann_file = str(root / 'instances.json')
        self.img_prefix = str(root / 'images')
        sizes = [(48, 64), (64, 48), (50, 50)]
        self.content = {
            'images': [
                {'id': 7 + i, 'file_name': f'{i}.jpg', 'height': h, 'width': w}
                for i, (h, w) in enumerate(sizes)
            ],
            'annotations': [
                _annotation(1, 8, 90, [5, 6, 20, 30]),
                _annotation(2, 7, 3, [10, 10, 30, 20]),
                _annotation(3, 7, 90, [0, 0, 64, 48], iscrowd=1),
                _annotation(4, 7, 90, [2, 4, 8, 8]),
                _annotation(5, 9, 3, [1, 1, 49, 49]),
            ],
            'categories': [{'id': 90, 'name': 'dog'}, {'id': 3, 'name': 'cat'}],
        }
        (root / 'images').mkdir()
        rng = np.random.default_rng(0)
        for i, size in enumerate(sizes):
            pixels = rng.integers(0, 256, (*size, 3), np.uint8)
            cv2.imwrite(str(root / 'images' / f'{i}.jpg'), pixels)

    def write(self) -> str:
        with open(self.ann_file, 'w') as file:
            json.dump(self.content, file)
        return self.ann_file

    def load(self, transforms=(), **options) -> CocoDataset:
        return CocoDataset(self.write(), self.img_prefix, transforms, **options)


def _annotation(annotation_id, image_id, category_id, bbox, iscrowd=0):
    h, w = (48, 64) if image_id == 7 else (64, 48)
    crowd = {'counts': [0, h * w], 'size': [h, w]}
    return {
        'id': annotation_id,
        'image_id': image_id,
        'category_id': category_id,
        'bbox': bbox,
        'area': bbox[2] * bbox[3],
        'iscrowd': iscrowd,
        'segmentation': crowd if iscrowd else [copy.copy(POLYGON)],
    }


@pytest.fixture
def coco_folder(tmp_path):
    return CocoFolder(tmp_path)


@pytest.fixture(scope='session')
def golden(reference_dir):
    """What the 2019 release's transforms and loaders gave."""
    with np.load(reference_dir / 'transforms.npz', allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.fixture(scope='session')
def coco_val(data_dir):
    """Annotation file and image folder of 80 real images."""
    root = data_dir / 'coco_tiny'
    return str(root / 'annotations/instances_val2017.json'), str(root / 'val2017')
