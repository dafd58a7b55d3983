"""Labels survive from COCO to each format and back, to the format's precision."""

import json
import shutil
import tempfile
from pathlib import Path

import cv2
import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.data import DataError
from hrdet.data.formats import convert_labels, recognise_labels
from hrdet.structures.coco_masks import rasterise

H, W = 48, 64
# Largest difference of a coordinate, in pixels: decimals of the files, or whole pixels.
PRECISION = {'coco': 1e-4, 'yolo': 1e-4, 'voc': 0.5}


@st.composite
def a_box(draw):
    x1, y1 = draw(st.floats(0, W - 6)), draw(st.floats(0, H - 6))
    return x1, y1, draw(st.floats(2, W - x1)), draw(st.floats(2, H - y1))


@st.composite
def an_object(draw):
    """Image, class, box (x, y, w, h), polygons or None."""
    image, label, box = draw(st.integers(0, 1)), draw(st.integers(0, 2)), draw(a_box())
    if draw(st.booleans()):
        return image, label, box, None
    # Rectangles, whose boxes are known without any of hrdet's code.
    boxes = draw(st.lists(a_box(), min_size=1, max_size=3))
    polygons = [[x, y, x + w, y, x + w, y + h, x, y + h] for x, y, w, h in boxes]
    x, y, w, h = np.array(boxes).T
    box = (x.min(), y.min(), (x + w).max() - x.min(), (y + h).max() - y.min())
    return image, label, box, polygons


def write_source(root, objects):
    """A COCO folder of two images."""
    classes = ['zebra', 'cat', 'Hund']
    (root / 'images').mkdir(parents=True)
    for name in ('a.jpg', 'b.png'):
        cv2.imwrite(str(root / 'images' / name), np.zeros((H, W, 3), np.uint8))
    images = [
        dict(id=i, file_name=name, height=H, width=W) for i, name in enumerate(('a.jpg', 'b.png'))
    ]
    annotations = [
        dict(
            id=i,
            image_id=image,
            category_id=label + 1,
            bbox=list(map(float, box)),
            area=1.0,
            iscrowd=0,
            segmentation=polygons or [],
        )
        for i, (image, label, box, polygons) in enumerate(objects)
    ]
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(classes)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'labels.json').write_text(json.dumps(content))
    return classes


@pytest.mark.parametrize('kind', ['coco', 'yolo', 'voc'])
@settings(max_examples=15, deadline=None)
@given(objects=st.lists(an_object(), min_size=1, max_size=5))
def test_boxes_and_polygons_survive(kind, objects):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        classes = write_source(root / 'source', objects)
        convert_labels(str(root / 'source'), str(root / 'new'), kind)
        (part,) = recognise_labels(str(root / 'new')).parts
        table = part.table
        assert [Path(name).stem for name in table.file_names] == ['a', 'b']
        assert table.sizes.tolist() == [[H, W]] * 2
        expected = sorted(objects, key=lambda o: o[0])
        assert table.image_rows.tolist() == [o[0] for o in expected]
        assert [table.classes[label] for label in table.labels] == [
            classes[label] for _, label, *_ in expected
        ]
        for i, (_, _, (x, y, w, h), polygons) in enumerate(expected):
            # Parts that overlap are outlined as pixels, whose masks are rounded.
            atol = 1.5 if kind == 'yolo' and len(polygons or ()) > 1 else PRECISION[kind] + 1e-4
            np.testing.assert_allclose(table.boxes[i], [x, y, x + w, y + h], rtol=0, atol=atol)
            if kind == 'voc':
                continue
            assert (table.segmentations[i] is None) == (polygons is None)
            if polygons:
                # Of several parts YOLO has one outline, around the same pixels but for its edge.
                kept = rasterise([list(p) for p in table.segmentations[i]], (H, W))
                mask = rasterise(polygons, (H, W))
                square = np.ones((3, 3), np.uint8)
                missed = cv2.erode(mask, square) & ~kept
                false = kept & ~cv2.dilate(mask, square)
                assert missed.sum() + false.sum() <= 2 * len(polygons)


def test_yolo_is_what_another_reader_reads(coco_source, tmp_path):
    objects = [(0, 1, [4, 6, 20, 30], [], 0), (1, 0, [0.5, 2.25, 60, 40], [], 0)]
    convert_labels(str(coco_source(objects)), str(tmp_path / 'new'), 'yolo')
    labels = tmp_path / 'new/labels/train'
    shutil.copy(tmp_path / 'new/data.yaml', labels)
    # hotcoco takes a list of names.
    text = (labels / 'data.yaml').read_text().split('names:')[0] + 'names: [cat, dog]\n'
    (labels / 'data.yaml').write_text(text)
    dataset = hotcoco.COCO.from_yolo(str(labels), str(tmp_path / 'new/images/train')).dataset
    boxes = [entry['bbox'] for entry in dataset['annotations']]
    np.testing.assert_allclose(boxes, [[4, 6, 20, 30], [0.5, 2.25, 60, 40]], atol=1e-4)


def test_voc_counts_pixels_from_one_and_marks_crowds(coco_source, tmp_path):
    crowd = dict(counts=[0, 48 * 64], size=[48, 64])
    objects = [(0, 0, [4, 6, 20, 30], [], 0), (0, 1, [0, 0, 64, 48], crowd, 1)]
    convert_labels(str(coco_source(objects)), str(tmp_path / 'new'), 'voc')
    text = (tmp_path / 'new/Annotations/train_a.xml').read_text()
    assert '<xmin>5</xmin>' in text
    assert '<xmax>24</xmax>' in text
    assert text.count('<difficult>1</difficult>') == 1
    val, train = (tmp_path / 'new/ImageSets/Main' / f'{s}.txt' for s in ('val', 'train'))
    assert train.read_text() == 'train_a\ntrain_b\n'
    assert val.read_text() == 'val_a\nval_b\n'


def test_what_a_format_cannot_hold_is_told(coco_source, tmp_path):
    crowd = dict(counts=[0, 48 * 64], size=[48, 64])
    objects = [
        (0, 0, [4, 6, 20, 30], [[4, 6, 24, 6, 4, 36]], 0),
        (0, 1, [0, 0, 64, 48], crowd, 1),
    ]
    source = str(coco_source(objects))
    assert '2 left out' in convert_labels(source, str(tmp_path / 'yolo'), 'yolo')
    assert '2 masks left out' in convert_labels(source, str(tmp_path / 'voc'), 'voc')


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(coco_source, tmp_path):
    source = coco_source([(0, 0, [4, 6, 20, 30], [], 0)])
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/file').touch()
    with pytest.raises(DataError, match='full exists'):
        convert_labels(str(source), str(tmp_path / 'full'), 'coco')
    (source / 'val/b.jpg').unlink()
    with pytest.raises(DataError, match=r'b\.jpg'):
        convert_labels(str(source), str(tmp_path / 'new'), 'coco')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['full', 'source']


def test_an_outline_of_runs_is_within_a_quarter_of_a_pixel(coco_source, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:50] = 1
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    runs = dict(counts=counts, size=[48, 64])
    source = coco_source([(0, 0, [20, 10, 30, 20], runs, 0)])
    convert_labels(str(source), str(tmp_path / 'new'), 'yolo')
    table = recognise_labels(str(tmp_path / 'new')).parts[0].table
    np.testing.assert_allclose(table.boxes[0], [20, 10, 50, 30], atol=0.26)


def test_crowd_regions_keep_their_masks_in_coco(coco_source, tmp_path):
    """An evaluation of masks needs them."""
    crowd = dict(counts=[0, 48 * 64], size=[48, 64])
    source = coco_source([(0, 1, [0, 0, 64, 48], crowd, 1), (0, 0, [4, 6, 20, 30], [], 0)])
    convert_labels(str(source), str(tmp_path / 'new'), 'coco')
    content = json.loads((tmp_path / 'new/annotations/train.json').read_text())
    assert [entry['iscrowd'] for entry in content['annotations']] == [1, 0]
    assert [entry['segmentation'] for entry in content['annotations']] == [crowd, []]
