"""Counts of pixels and scores against mmsegmentation, and against loops."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet.evaluation.confusion import confusion_matrix, iou_scores

CLASSES = 8


@pytest.fixture(scope='module')
def golden(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as file:
        return {name: file[name] for name in file.files if name.startswith('metric_')}


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_areas_of_each_pair(golden, dtype):
    for i in range(3):
        pair = (golden[f'metric_{side}{i}'].astype(dtype) for side in ('pred', 'label'))
        matrix = confusion_matrix(*pair, CLASSES)
        right = np.diagonal(matrix)[:-1]
        labelled, predicted = matrix[:-1].sum(axis=1), matrix[:, :-1].sum(axis=0)
        rows = right, labelled + predicted - right, predicted, labelled
        np.testing.assert_array_equal(rows, golden[f'metric_areas{i}'])


@pytest.mark.parametrize(('name', 'pairs'), [('first_two', (0, 1)), ('out_of_range', (2,))])
def test_scores(golden, name, pairs):
    scores = iou_scores(
        sum(
            confusion_matrix(golden[f'metric_pred{i}'], golden[f'metric_label{i}'], CLASSES)
            for i in pairs
        )
    )
    for key, found in scores.items():  # the originals' are float32
        np.testing.assert_allclose(found, golden[f'metric_{name}_{key}'], rtol=3e-7, err_msg=key)
    summary = json.loads(str(golden[f'metric_{name}_summary']))
    for key, percent in summary.items():
        mean = np.nanmean(scores[key.removeprefix('m')]) * 100
        assert round(mean, 2) == pytest.approx(percent, abs=1e-5), key


pixels = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 7, 254, 255]), st.sampled_from([0, 1, 2, 3, 254, 255])),
    min_size=1,
    max_size=40,
)


@given(
    pixels=pixels,
    classes=st.sampled_from([1, 3, 4, 255, 256, 300]),
    ignore_index=st.sampled_from([255, 7, 1000]),
    dtype=st.sampled_from([np.uint8, np.int32]),
)
def test_counts_against_a_loop(pixels, classes, ignore_index, dtype):
    expected = np.zeros((classes + 1, classes + 1), np.int64)
    for predicted, labelled in pixels:
        if labelled != ignore_index:
            expected[min(labelled, classes), min(predicted, classes)] += 1
    prediction, label = np.array(pixels, dtype).T
    found = confusion_matrix(prediction, label, classes, ignore_index)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


def test_negative_values_are_no_class():
    matrix = confusion_matrix(np.array([-1, 0]), np.array([0, -1]), 2)
    np.testing.assert_array_equal(matrix, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


def test_counts_above_what_float32_holds_are_exact():
    """Histograms of 17 million pixels in one class; the originals' stop at 2^24."""
    label = np.zeros((4100, 4100), np.uint8)
    label[0, 0] = 1
    matrix = confusion_matrix(np.zeros_like(label), label, 2)
    np.testing.assert_array_equal(matrix, [[4100**2 - 1, 0, 0], [1, 0, 0], [0, 0, 0]])


def test_views_are_counted_like_copies():
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, 5, (2, 20, 30), np.uint8)
    found = confusion_matrix(prediction[:, ::-1], label[:, ::-1], 5)
    np.testing.assert_array_equal(found, confusion_matrix(prediction, label, 5))


def test_maps_of_different_sizes():
    with pytest.raises(ValueError, match=r'prediction has \(2, 3\) pixels.*label map has \(3, 2\)'):
        confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)
