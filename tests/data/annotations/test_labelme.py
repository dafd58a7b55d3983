"""Reading labelme's JSON files: values by hand, and every wrong shape is named."""

import base64
import json

import cv2
import numpy as np
import pytest

from hrdet.data.annotations import read_labelme
from hrdet.structures.coco_masks import rasterise


def shape(label, points, kind='polygon', group=None, **more):
    return dict(label=label, points=points, shape_type=kind, group_id=group, flags={}, **more)


@pytest.fixture
def read(tmp_path):
    """Reads one page of an image of 40 x 80."""

    def read(*shapes, image='a.jpg', **changes):
        cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((40, 80, 3), np.uint8))
        page = dict(shapes=shapes, imagePath=image, imageHeight=40, imageWidth=80) | changes
        (tmp_path / 'a.json').write_text(json.dumps(page))
        return read_labelme([tmp_path / 'a.json'], str(tmp_path))

    return read


def test_every_shape_with_an_area_becomes_an_object(read):
    png = cv2.imencode('.png', np.full((5, 6), 255, np.uint8))[1].tobytes()
    table, problems = read(
        shape('dog', [[30, 25], [10, 5]], 'rectangle'),
        shape('cat', [[8, 4], [40, 4], [40, 24]]),
        shape('sun', [[20, 20], [20, 10]], 'circle'),
        shape('dog', [[3, 2], [8, 6]], 'mask', mask=base64.b64encode(png).decode()),
    )
    assert problems == []
    assert table.file_names == ['a.jpg']
    assert table.classes == ('cat', 'dog', 'sun')
    assert table.labels.tolist() == [1, 0, 2, 1]
    expected = [[10, 5, 30, 25], [8, 4, 40, 24], [10, 10, 30, 30], [3, 2, 9, 7]]
    np.testing.assert_allclose(table.boxes, expected, atol=0.25)
    assert table.areas[0] == 400
    assert table.areas[1] == 320
    assert table.areas[2] == pytest.approx(np.pi * 100, rel=0.03)
    assert table.areas[3] == 30
    assert table.segmentations[0] is None
    assert rasterise(table.segmentations[3], (40, 80))[2:7, 3:9].sum() == 30


def test_a_group_is_one_object(read):
    table, _ = read(
        shape('cat', [[0, 0], [10, 0], [0, 10]], group=1),
        shape('cat', [[20, 20], [30, 20], [20, 30]], group=1),
        shape('dog', [[20, 20], [30, 20], [20, 30]], group=1),
        shape('cat', [[1, 1], [2, 1], [1, 2]]),
    )
    assert table.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(table.boxes[0], [0, 0, 30, 30])
    assert len(table.segmentations[0]) == 2


@pytest.mark.parametrize(
    ('bad', 'where', 'reason', 'fatal'),
    [
        (shape('cat', [[1, 2]], 'point'), 'shapes[1]', 'a point has no area', False),
        (shape('cat', [[1, 2], [3, 4]], 'line'), 'shapes[1]', 'a line has no area', False),
        (shape('cat', [[1, 2], [3, 4]]), 'shapes[1]', 'a polygon of 2 points', True),
        (shape('cat', [[1, 2], [3, 4]], 'heart'), 'shapes[1]', "'heart' is unknown", True),
        (shape('cat', [[1, 2], [3]], 'line'), 'shapes[1]', 'pairs', True),
        (shape('', [[1, 2], [3, 4]], 'rectangle'), 'shapes[1]', "a 'label'", True),
        (shape('cat', [[1, 2], [3, float('inf')]], 'rectangle'), 'shapes[1]', 'finite', True),
        (shape('cat', [[1, 2], [3, 4]], 'mask'), 'shapes[1]', 'PNG', True),
        (shape('cat', [[1, 2], [1e300, 4]], 'circle'), 'shapes[1]', 'a circle beyond', True),
        (
            shape('cat', [[1, 2], [3, 4]], 'rectangle') | dict(group_id=[]),
            'shapes[1]',
            'group_id',
            True,
        ),
        ('text', 'shapes[1]', 'object', True),
    ],
)
def test_broken_shapes_are_named(read, bad, where, reason, fatal):
    table, (problem,) = read(shape('dog', [[1, 1], [5, 5]], 'rectangle'), bad)
    assert (problem.where, problem.fatal) == (where, fatal)
    assert reason in problem.reason
    assert len(table.boxes) == 1


def test_a_path_of_another_machine_is_the_file_beside(read):
    table, problems = read(image='C:\\photos\\a.jpg')
    assert (table.file_names, problems) == (['a.jpg'], [])


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (dict(image='b.jpg'), 'there is no image'),
        (dict(imageHeight=None), 'whole numbers'),
        (dict(image=None), 'no labelme file'),
    ],
)
def test_broken_pages_are_named(read, changes, reason):
    table, (problem,) = read(**changes)
    assert problem.fatal
    assert reason in problem.reason
    assert table.file_names == []


def test_renamed_files_whose_label_names_another_image(read, tmp_path):
    cv2.imwrite(str(tmp_path / 'b.jpg'), np.zeros((40, 80, 3), np.uint8))
    _, problems = read(shape('cat', [[0, 0], [10, 0], [0, 10]]), image='b.jpg')
    (problem,) = problems
    assert (problem.where, problem.fatal) == ('imagePath', False)
    assert 'b.jpg is taken, not a.jpg, which has the name of this file' in problem.reason


def test_shapes_that_were_dropped_or_named_by_blanks_are_told(read):
    _, (problem,) = read(shapes={'0': shape('cat', [[1, 1], [9, 9]], 'rectangle')})
    assert str(problem).endswith('a.json: shapes: a list is expected, not dict')
    _, (problem,) = read(shape(' ', [[1, 1], [9, 9]], 'rectangle'))
    assert "a shape is an object with a 'label'" in problem.reason
    outside = [[500, 500], [600, 500], [600, 600]]
    for kind, points in (('rectangle', outside[::2]), ('polygon', outside)):
        _, (problem,) = read(shape('cat', points, kind))
        assert not problem.fatal
        assert problem.where == 'shapes[0]'
        assert 'leaves its image of 80 x 40 pixels' in problem.reason
