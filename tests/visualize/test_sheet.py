"""Contact sheets: every pair in its place, boxes scaled to their tile."""

import numpy as np
import pytest

from hrdet.structures import Detections, GroundTruth
from hrdet.visualize import Pair, colour_of, contact_sheet


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
