"""Detections of tiles, merged to those of the image."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from hrdet.data.inputs import ImagePipeline
from hrdet.inference import Tiling, predict_images
from hrdet.inference.tiles import merge_windows
from hrdet.registry import ConfigError
from hrdet.structures import Detections

# Objects as (x1, y1, x2, y2, grey value); the value is the label.
OBJECTS = [(10, 10, 30, 30, 1), (90, 5, 110, 60, 2), (150, 40, 160, 48, 1), (60, 90, 190, 140, 3)]


class Finder(torch.nn.Module):
    """Finds each grey value of an image, with masks; what touches an edge it finds cut off."""

    task, classes, palette = 'detection', ('none', 'one', 'two', 'three'), None

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.pipeline = ImagePipeline((), 1)

    def predict(self, batch):
        return [self.find(image[:, :h, :w][0].numpy()) for image, (h, w) in zip(
            batch.images, batch.input_sizes.int().tolist())]  # fmt: skip

    def find(self, image):
        boxes, labels, masks = [], [], []
        for x1, y1, x2, y2, value in OBJECTS:
            # The pixel that is the object's own tells which object it is.
            ys, xs = np.nonzero(image == 10 * OBJECTS.index((x1, y1, x2, y2, value)) + 10)
            if len(ys):
                boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                labels.append(value)
                mask = np.zeros(image.shape, np.uint8, order='F')
                mask[ys, xs] = 1
                masks.append(coco_mask.encode(mask))
        area = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
        return Detections(
            np.float32(boxes).reshape(-1, 4),
            np.float32(area) / 1e4,  # a whole object scores more than a part
            np.int64(labels),
            masks,
        )


@pytest.fixture
def image():
    pixels = np.zeros((160, 200, 3), np.uint8)
    for index, (x1, y1, x2, y2, _) in enumerate(OBJECTS):
        pixels[y1:y2, x1:x2] = 10 * index + 10
    return pixels


def rows(found):
    boxes = found.boxes.astype(int).tolist()
    return sorted((*box, label) for box, label in zip(boxes, found.labels.tolist()))


@pytest.mark.parametrize('tiling', [Tiling(64), Tiling(80, 0.5), Tiling(50, 0), Tiling(500)])
def test_the_objects_of_the_image(image, tiling):
    """Whole ones, each once, whatever the tiles: cut ones are left out, copies suppressed."""
    (found,) = predict_images(Finder(), [image], 4, tiling)
    assert rows(found) == sorted(OBJECTS)
    assert (np.diff(found.scores) <= 0).all()
    for box, mask in zip(found.boxes.astype(int), coco_mask.decode(found.masks).transpose(2, 0, 1)):
        x1, y1, x2, y2 = box
        assert mask.shape == image.shape[:2]
        assert mask.sum() == mask[y1:y2, x1:x2].sum() == (x2 - x1) * (y2 - y1)


def test_windows():
    assert Tiling(64).windows((60, 64)) == [(0, 60, 0, 64)]
    windows = Tiling(64, 0.25).windows((64, 100))
    assert windows == [(0, 64, 0, 100), (0, 64, 0, 64), (0, 64, 36, 100)]
    for size, overlap in ((31, 0.2), (64, -0.1), (64, 0.95)):
        with pytest.raises(ConfigError, match='tiles have edges of 32 pixels or more'):
            Tiling(size, overlap).windows((99, 99))


def test_classes_do_not_suppress_each_other():
    boxes = np.float32([[5, 5, 20, 20]] * 3)
    found = Detections(boxes, np.float32([0.5, 0.75, 0.25]), np.array([0, 1, 1]))
    merged = merge_windows([found], [(0, 40, 0, 40)], (40, 40))
    assert merged.labels.tolist() == [1, 0]
    assert merged.scores.tolist() == [0.75, 0.5]
    assert merged.masks is None


def test_nothing_found(image):
    (found,) = predict_images(Finder(), [np.zeros_like(image)], 1, Tiling(64))
    assert len(found) == 0


def test_tiles_are_for_detectors(image):
    model = Finder()
    model.task = 'segmentation'
    with pytest.raises(ConfigError, match='tiles are for detectors; this model is for segm'):
        predict_images(model, [image], 1, Tiling(64))
