"""A few labelled images as COCO, to be written in each format."""

import json

import cv2
import numpy as np
import pytest


def write_image(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def coco_source(tmp_path):
    """Writes objects (image, class, box xywh, polygons or RLE, crowd) of images of 48 x 64."""

    def write(objects, splits=('train', 'val'), classes=('cat', 'dog'), size=(48, 64)):
        root = tmp_path / 'source'
        for split in splits:
            names = ['a.jpg', 'b.jpg']
            for i, name in enumerate(names):
                write_image(root / split / name, size, i)
            content = {
                'images': [
                    {'id': 5 + i, 'file_name': name, 'height': size[0], 'width': size[1]}
                    for i, name in enumerate(names)
                ],
                'annotations': [
                    {
                        'id': i + 1,
                        'image_id': 5 + image,
                        'category_id': 10 * label + 3,
                        'bbox': list(box),
                        'area': box[2] * box[3],
                        'segmentation': mask,
                        'iscrowd': crowd,
                    }
                    for i, (image, label, box, mask, crowd) in enumerate(objects)
                ],
                'categories': [{'id': 10 * i + 3, 'name': name} for i, name in enumerate(classes)],
            }
            file = root / 'annotations' / f'instances_{split}.json'
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(content))
        return root

    return write
