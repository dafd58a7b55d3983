"""The picture of a confusion matrix: each cell in its place."""

import cv2
import numpy as np

from hrdet.visualize import plot_confusion


def test_the_matrix_is_in_the_picture(tmp_path):
    matrix = np.zeros((30, 30), np.int64)
    matrix[2, 27] = 5  # all of class 2 taken for class 27
    matrix[9, 9] = 7
    plot_confusion(matrix, [f'class {i}' for i in range(30)], tmp_path / 'new' / 'a.png')
    picture = cv2.imread(str(tmp_path / 'new' / 'a.png')).astype(int)
    # Matplotlib's darkest blue, within the matrix, which is left of the colour bar.
    dark = np.abs(picture - (107, 48, 8)).max(-1) < 12
    dark[:, int(dark.shape[1] * 0.84) :] = False
    y, x = np.nonzero(dark)
    assert len(y)
    upper, lower = y < y.min() + (y.max() - y.min()) / 2, y >= y.min() + (y.max() - y.min()) / 2
    assert x[upper].min() > x[lower].max()


def test_few_classes_have_numbers_and_empty_rows_are_no_error(tmp_path):
    plot_confusion(np.array([[0, 0], [1, 3]]), ['tench, Tinca tinca', 'b'], tmp_path / 'a.png')
    assert cv2.imread(str(tmp_path / 'a.png')).min() < 60
