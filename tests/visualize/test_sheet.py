"""Contact sheets: every pair in its place, boxes scaled to their tile."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hrdet.structures import Detections, GroundTruth
from hrdet.visualize import Pair, colour_of, contact_sheet, prediction_sheet


def marked(picture, label):
    return np.abs(picture.astype(int) - colour_of(label)).max(-1) < 40


def pair(height, width, label):
    box = np.array([[0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height]], np.float32)
    labels = np.array([label])
    image = np.full((height, width, 3), 90, np.uint8)
    found = Detections(box, np.array([0.9]), labels)
    return Pair('a name.jpg', image, found, GroundTruth(box, labels + 1, np.zeros((0, 4))))


def test_predictions_left_truth_right():
    sheet = contact_sheet([pair(300, 400, 0)], tile=200)
    middle = sheet.shape[1] // 2
    left, right = sheet[:, :middle], sheet[:, middle:]
    assert marked(left, 0).any()
    assert not marked(left, 1).any()
    assert marked(right, 1).any()
    assert not marked(right, 0).any()


def test_pictures_of_all_shapes_and_a_last_row_that_is_not_full():
    sheet = contact_sheet([pair(300, 400, 0), pair(400, 100, 2), pair(50, 50, 4)], tile=160)
    for label in range(6):
        assert marked(sheet, label).any()
    top = sheet[: sheet.shape[0] // 2]
    assert marked(top, 0).any()
    assert not marked(top, 4).any()
    with pytest.raises(ValueError, match='at least one'):
        contact_sheet([])


def test_sheet_of_a_data_set(tmp_path):
    """Predictions and truth in original pixels."""

    class Grey:
        classes, palette = ('a', 'b'), None

        def image(self, index):
            return np.full((200, 300, 3), 90, np.uint8)

        def truth(self, index):
            boxes = np.array([[30, 40, 230, 140.0]])
            nothing = np.zeros((0, 4))
            if index == 0:
                return GroundTruth(nothing, np.zeros(0, int), nothing)
            return GroundTruth(boxes, np.array([1]), boxes)

    empty = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    meta = SimpleNamespace(image_id=5, path='x/0.jpg')
    found = Detections(np.array([[30, 40, 230, 140.0]]), np.array([0.8]), np.array([0]))
    predictions = [(meta, found), (SimpleNamespace(image_id=9, path='x/1.jpg'), empty)]
    prediction_sheet(Grey(), predictions, tmp_path / 'sheet.png')
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    # tiles of 400 pixels for an image of 300: the box's right edge is at 230 * 4 / 3 = 307
    middle = sheet.shape[1] // 2
    for part, label in ((sheet[:, 10:410], 0), (sheet[:, middle + 425 :], 1)):
        columns = np.flatnonzero(marked(part, label).sum(0) > 100)
        assert abs(columns.min() - 40) <= 3
        assert abs(columns.max() - 307) <= 3
    assert not marked(sheet[:, 420:middle], 0).any()
    assert not marked(sheet[:, : middle + 400], 1).any()
