"""Reading YOLO's text files: values by hand, and every wrong line is named."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from hrdet.data.annotations import read_yolo
from hrdet.data.annotations.yolo import label_file


@pytest.fixture
def read(tmp_path):
    """Reads the objects of one image of 40 x 80 from its text."""

    def read(text):
        for folder in ('images', 'labels'):
            (tmp_path / folder).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'images/a.jpg'), np.zeros((40, 80, 3), np.uint8))
        (tmp_path / 'labels/a.txt').write_text(text)
        return read_yolo('data.yaml', str(tmp_path / 'images'), ['a.jpg'], ['cat', 'dog'])

    return read


def test_boxes_and_polygons(read):
    table, problems = read('1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.5 0.1 0.5 0.6\n\n')
    assert problems == []
    assert table.sizes.tolist() == [[40, 80]]
    np.testing.assert_allclose(table.boxes, [[30, 10, 50, 30], [8, 4, 40, 24]], atol=1e-5)
    assert table.labels.tolist() == [1, 0]
    np.testing.assert_allclose(table.areas, [400, 320])  # a box, and half a rectangle of 32 x 20
    assert table.segmentations[0] is None
    np.testing.assert_allclose(table.segmentations[1], [[8, 4, 40, 4, 40, 24]])


def test_images_that_cannot_be_measured(read, tmp_path):
    """A pipe waits for a writer; Pillow raises an error of no common base above 179 megapixels."""
    read('')
    os.mkfifo(tmp_path / 'images/pipe.jpg')
    Image.new('1', (15000, 15000)).save(tmp_path / 'images/large.png')
    (tmp_path / 'labels/large.txt').touch()
    names = ['a.jpg', 'pipe.jpg', 'large.png']
    table, problems = read_yolo('data.yaml', str(tmp_path / 'images'), names, ['cat'])
    assert table.sizes.tolist() == [[40, 80], [15000, 15000]]
    (problem,) = problems
    assert problem.file.endswith('pipe.jpg')
    assert 'a pipe or device, not a file' in problem.reason


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('2 0.5 0.5 0.1 0.1', 'class 2, but there are 2 names'),
        ('0.5 0.5 0.5 0.1 0.1', 'class 0.5'),
        ('-1 0.5 0.5 0.1 0.1', 'class -1'),
        ('cat 0.5 0.5 0.1 0.1', 'numbers separated by blanks'),
        ('0,0.5,0.5,0.1,0.1', 'numbers separated by blanks'),
        ('0 0.5 0.5 0.1 0.1 0.9', '6 numbers (a prediction with its score?)'),
        ('0 0.5 0.5', '3 numbers'),
        ('', '0 numbers'),
        ('0 0.1 0.2 0.3 0.4 0.5 0.6 0.7', '8 numbers'),
        ('0 nan 0.5 0.1 0.1', 'not finite'),
        ('0 40 20 10 10', 'fractions of the image'),
        ('0 0.5 0.5 -0.1 0.1', 'negative size'),
    ],
)
def test_broken_lines_are_named(read, line, reason):
    table, problems = read(f'0 0.5 0.5 0.1 0.1\n{line}\n0 0.5 0.5 0.1 0.1')
    (problem,) = problems
    assert problem.fatal
    assert problem.file.endswith('a.txt')
    assert problem.where == 'line 2'
    assert reason in problem.reason
    assert len(table.boxes) == 2


@pytest.mark.parametrize(
    ('line', 'reason'), [('0 0.5 0.5 0 0.1', 'zero size'), ('0 0 0.5 0.5 0.1', 'leaves its image')]
)
def test_doubtful_boxes_are_warnings(read, line, reason):
    _, (problem,) = read(line)
    assert not problem.fatal
    assert reason in problem.reason


def test_an_image_without_a_file_has_no_objects(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 8, 3), np.uint8))
    table, problems = read_yolo('x', str(tmp_path), ['a.png'], ['cat'])
    assert (len(table.file_names), len(table.boxes)) == (1, 0)
    assert [problem.fatal for problem in problems] == [False]


def test_unreadable_images_are_problems(tmp_path):
    (tmp_path / 'text.jpg').write_text('no image')
    table, problems = read_yolo('x', str(tmp_path), ['text.jpg', 'none.jpg'], ['c'])
    assert table.file_names == []
    assert all(p.fatal for p in problems)
    assert problems[0].reason == 'not an image'
    assert 'No such file' in problems[1].reason


@pytest.mark.parametrize(('orientation', 'size'), [(1, [4, 8]), (3, [4, 8]), (6, [8, 4])])
def test_boxes_are_of_the_image_as_exif_turns_it(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new('RGB', (8, 4)).save(tmp_path / 'a.jpg', exif=exif)
    (tmp_path / 'a.txt').write_text('0 0.5 0.25 1 0.5')
    table, problems = read_yolo('x', str(tmp_path), ['a.jpg'], ['c'])
    assert table.sizes.tolist() == [size]
    assert table.boxes.tolist() == [[0, 0, size[1], size[0] / 2]]
    assert [p.fatal for p in problems] == [False] * (orientation > 1)


def test_labels_are_in_place_of_the_last_folder_images(tmp_path):
    path = tmp_path / 'images' / 'set' / 'images' / 'train' / 'a.b.jpg'
    assert label_file(path) == tmp_path / 'images' / 'set' / 'labels' / 'train' / 'a.b.txt'
    assert label_file(tmp_path / 'x' / 'a.jpg').name == 'a.txt'


def test_a_text_file_of_two_images_is_an_error(read, tmp_path):
    read('0 0.5 0.5 0.2 0.2\n')
    cv2.imwrite(str(tmp_path / 'images/a.png'), np.zeros((40, 80, 3), np.uint8))
    root = str(tmp_path / 'images')
    _, problems = read_yolo('data.yaml', root, ['a.jpg', 'a.png'], ['cat'])
    (problem,) = problems
    assert problem.fatal
    assert problem.file.endswith('a.txt')
    assert 'two images, a.jpg and a.png' in problem.reason
    assert read_yolo('data.yaml', root, ['a.jpg', 'a.jpg'], ['cat'])[1] == []  # told elsewhere


def test_images_without_a_text_file_are_told(read, tmp_path):
    """Also where it is called .TXT, which is not read."""
    read('0 0.5 0.5 0.2 0.2\n')
    cv2.imwrite(str(tmp_path / 'images/b.jpg'), np.zeros((40, 80, 3), np.uint8))
    (tmp_path / 'labels/b.TXT').write_text('0 0.5 0.5 0.2 0.2\n')
    names = ['a.jpg', 'b.jpg']
    _, (problem,) = read_yolo('data.yaml', str(tmp_path / 'images'), names, ['cat'])
    assert not problem.fatal
    expected = tmp_path / 'labels/b.txt'
    assert f'1 of 2 images without a text file, such as b.jpg ({expected})' in problem.reason
    (tmp_path / 'labels/b.txt').write_text('')
    assert read_yolo('data.yaml', str(tmp_path / 'images'), names, ['cat'])[1] == []
