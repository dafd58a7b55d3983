"""Pictures of classes: colours where the labels are, verdicts, legends; sheets of them."""

import numpy as np
import pytest

from hrdet.structures import ClassLabel, ClassScores, LabelMap, SegmentationMap
from hrdet.visualize import Pair, Style, colour_of, compare, contact_sheet, describe, draw

PALETTE = ((10, 20, 200), (200, 20, 10), (0, 255, 0))  # RGB
GREEN, RED = (80, 160, 40), (50, 50, 210)  # BGR


def shows(picture, colour, tolerance=12):
    return (np.abs(picture.astype(int) - colour).max(-1) <= tolerance).any()


def scores(*values):
    return ClassScores(np.array(values, np.float32))


def halves(left, right, size=(300, 480)):
    labels = np.full(size, left, np.uint8)
    labels[:, size[1] // 2 :] = right
    return labels


def test_a_class_is_framed_green_or_red():
    image = np.full((300, 480, 3), 90, np.uint8)
    result = scores(0.1, 0.7, 0.2)
    right = draw(image, result, ('a', 'b', 'c'), truth=ClassLabel(1))
    wrong = draw(image, result, ('a', 'b', 'c'), truth=ClassLabel(2))
    unknown = draw(image, result, ('a', 'b', 'c'))
    assert shows(right[:10], GREEN)
    assert not shows(right, RED)
    assert shows(wrong[:10], RED)
    assert not shows(wrong, GREEN)
    assert not shows(unknown, RED)
    assert not shows(unknown, GREEN)
    assert (image == 90).all()
    assert (right[20:280, 20:460] == 90).all(), 'nothing covers the image'
    assert (draw(image, ClassLabel(1), ('a', 'b', 'c'))[300:] != 255).any()


def test_label_maps_are_tinted_in_the_palette_and_the_ignored_is_dark():
    image = np.full((300, 480, 3), 100, np.uint8)
    labels = halves(0, 255)
    for objects in (LabelMap(labels, palette=PALETTE), SegmentationMap(labels)):
        palette = PALETTE if isinstance(objects, SegmentationMap) else None
        picture = draw(image, objects, ('a', 'b', 'c'), palette=palette)
        # 0.55 of the colour, as BGR
        tint = 0.55 * np.array(PALETTE[0][::-1]) + 45
        assert np.abs(picture[100, 100] - tint).max() <= 1
        assert picture[100, 400].max() == 35
        assert shows(picture[300:], PALETTE[0][::-1]), 'the legend'
        assert not shows(picture[300:], PALETTE[1][::-1]), 'a class that is not on the image'
    assert shows(draw(image, LabelMap(halves(1, 1)))[300:], colour_of(1)), 'without a palette'


def test_the_truth_is_beside_the_prediction():
    image = np.full((300, 480, 3), 100, np.uint8)
    result, truth = LabelMap(halves(0, 0), palette=PALETTE), SegmentationMap(halves(2, 2))
    picture = draw(image, result, ('a', 'b', 'c'), truth=truth)
    assert picture.shape[1] > 2 * 480
    assert picture[100, 100, 0] > picture[100, 100, 1]
    assert picture[100, -100, 1] > picture[100, -100, 0]


def test_maps_of_any_size_and_long_names():
    image = np.zeros((70, 30, 3), np.uint8)
    names = [f'a class whose name is long {i}' for i in range(200)]
    labels = (np.arange(70 * 30) % 200).reshape(70, 30).astype(np.uint8)
    picture = draw(image, LabelMap(labels), names, long_side=400)
    assert picture.shape[0] > 400
    assert picture.shape[1] == 171


def test_comparisons():
    assert compare(scores(0.25, 0.75), ClassLabel(1)) == (0.75, 'right', [(1, 'right', 0.75)])
    verdict = compare(scores(0.25, 0.75), ClassLabel(0))
    assert verdict == (0.25, 'wrong', [(0, 'wrong', 0.75), (1, 'wrong', 0.75)])
    assert compare(scores(0.2, 0.8), None) is None
    # 0: 1 of 3 pixels in common, 1: 1 of 3; one pixel is ignored
    result = LabelMap(np.array([[0, 0, 1, 1, 5]], np.uint8))
    truth = SegmentationMap(np.array([[0, 1, 1, 0, 255]], np.uint8))
    assert compare(result, truth).score == pytest.approx(1 / 3)
    assert [outcome[:2] for outcome in compare(result, truth).outcomes] == [
        (0, 'poor'),
        (1, 'poor'),
    ]
    assert compare(result, SegmentationMap(np.full((1, 5), 255, np.uint8))).score == 1
    assert describe(result, 0.3) == '3 classes'
    assert describe(scores(0.25, 0.75), 0.3) == 'score 0.75'


def test_classes_that_are_not_shown_leave_the_image_as_it_is():
    image = np.full((300, 480, 3), 100, np.uint8)
    style = Style(shown=frozenset({2}), names=False)
    picture = draw(image, LabelMap(halves(0, 2), palette=PALETTE), ('a', 'b', 'c'), style=style)
    assert picture.shape == image.shape, 'no legend'
    assert (picture[100, 100] == 100).all()
    assert picture[100, 400, 1] > 100


def test_sheets_have_one_picture_for_both():
    image = np.full((200, 300, 3), 90, np.uint8)
    pairs = [Pair(f'{k}.jpg', image, scores(0.9, 0.1), ClassLabel(k)) for k in (0, 1, 1)]
    sheet = contact_sheet(pairs, ('a', 'b'), tile=200)
    thirds = np.array_split(sheet[:, :-10], 3, axis=1)
    assert [shows(third, GREEN) for third in thirds] == [True, False, False]
    assert [shows(third, RED) for third in thirds] == [False, True, True]
    untold = contact_sheet([Pair('x.jpg', image, scores(0.9, 0.1), None)], ('a', 'b'), tile=200)
    assert not shows(untold, GREEN)
    maps = [Pair('x', image, LabelMap(halves(0, 1)), SegmentationMap(halves(1, 0)))] * 2
    assert contact_sheet(maps, 'ab', tile=200).shape[1] > 4 * 200
