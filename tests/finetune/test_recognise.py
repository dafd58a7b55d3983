"""What a path is taken for, and how a data set of one part is split."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hrdet.config.node import as_nodes
from hrdet.data import DataError, DataWarning
from hrdet.finetune import open_data, open_parts
from hrdet.registry import build

PARTS = ('train', 'val')


def load(part, **more):
    """The data set of a part, as a config builds it."""
    return build(as_nodes(part.dataset | more))


def test_boxes_keep_their_parts_and_images(yolo, tmp_path):
    data = open_data(yolo(train=6, val=3), tmp_path / 'lists')
    assert (data.task, data.classes, data.size) == ('boxes', ('cat', 'dog'), (60, 100))
    assert 'taken for YOLO: train 6 images, val 3 images' in data.notes[0]
    train, val = (load(part, min_size=0) for part in (data.train, data.val))
    assert (len(train), len(val)) == (6, 3)
    assert [len(part.files) for part in (data.train, data.val)] == [6, 3]
    assert all(Path(file).is_file() for file in data.train.files)


def test_boxes_without_a_part_for_validation_are_split_with_a_seed(yolo, tmp_path):
    root = yolo(train=10)
    data = open_data(root, tmp_path / 'lists')
    contents = [json.loads((tmp_path / f'lists/{part}.json').read_text()) for part in PARTS]
    names = [{image['file_name'] for image in content['images']} for content in contents]
    assert [len(part) for part in names] == [8, 2]
    assert not names[0] & names[1]
    assert 'there is no part for validation: 2 images of 10 drawn for it (seed 0)' in data.notes
    assert open_data(root, tmp_path / 'again').val.files == data.val.files


def test_coco_with_parts_is_used_where_it_is(yolo, tmp_path):
    from hrdet.data.formats import convert_labels

    coco = tmp_path / 'coco'
    convert_labels(yolo(train=2, val=2), str(coco), 'coco')
    data = open_data(str(coco), tmp_path / 'lists')
    assert data.train.dataset['ann_file'] == str(coco / 'annotations/train.json')
    assert not (tmp_path / 'lists').exists()


def test_photos_that_exif_turns_are_learned_upright(yolo, tmp_path):
    root = Path(yolo(train=2, val=1))
    exif = Image.Exif()
    exif[274] = 6
    Image.new('RGB', (100, 60)).save(root / 'images/train/train0.jpg', exif=exif)
    with pytest.warns(DataWarning, match='EXIF data turn the image'):
        data = open_data(str(root), tmp_path / 'lists')
    sample = load(data.train, min_size=0)[0]
    assert sample.image.shape[:2] == (100, 60)
    assert sample.truth.boxes.tolist() == [[22.5, 25, 37.5, 75]]


def test_classes_without_objects_are_left_out_and_told(yolo, tmp_path):
    data = open_data(yolo(names=('cat', 'dog', 'yak'), train=2, val=2), tmp_path)
    assert data.classes == ('cat', 'dog')
    assert 'left out, as the training images have none: yak' in data.notes


def test_one_class_of_several_is_told(yolo, tmp_path):
    data = open_data(yolo(names=('cat', 'dog', 'yak'), train=1, val=1), tmp_path)
    assert 'one class of 3 has objects: cat' in data.notes


@pytest.mark.parametrize('layout', ['{kind}/{split}', '{split}/{kind}'])
def test_label_maps_in_both_layouts(label_maps, layout, tmp_path):
    root = label_maps(layout)
    data = open_data(str(root), tmp_path / 'lists')
    assert (data.task, data.classes) == ('label maps', ('0', '1'))
    assert '2 classes without names, by the values 0 to 1 (255 is ignored)' in data.notes[0]
    assert (len(load(data.train)), len(load(data.val))) == (4, 4)
    (root / 'classes.txt').write_text('earth\nsky\n')
    assert open_data(str(root), tmp_path / 'lists').classes == ('earth', 'sky')


@pytest.mark.parametrize(
    ('lines', 'ignored', 'labels'),
    [
        ('earth\nsky\nvoid\n', dict(ignore_index=2), [0, 1, 255]),
        ('Unlabelled\nearth\nsky\n', dict(reduce_zero_label=True), [0, 1, 255]),
    ],
)
def test_a_line_of_classes_txt_for_pixels_without_a_class(
    label_maps, tmp_path, lines, ignored, labels
):
    root = label_maps()
    (root / 'classes.txt').write_text(lines)
    values = np.repeat(np.arange(3, dtype=np.uint8), 20)[:, None] + np.zeros((60, 100), np.uint8)
    for path in root.glob('masks/train/*.png'):
        cv2.imwrite(str(path), values)
    data = open_data(str(root), tmp_path / 'lists')
    assert data.classes == ('earth', 'sky')
    assert data.train.dataset.items() >= ignored.items()
    assert 'are ignored' in data.notes[0]
    assert np.unique(load(data.train).truth(0).labels).tolist() == labels


def test_label_maps_without_parts_are_split(label_maps, tmp_path):
    root = label_maps('{kind}', splits=('',), count=5)
    data = open_data(str(root), tmp_path / 'lists')
    assert (len(load(data.train)), len(load(data.val))) == (4, 1)
    assert not set(data.train.files) & set(data.val.files)


def test_parts_without_label_maps_are_told(label_maps, tmp_path):
    root = label_maps('{kind}/{split}')
    shutil.rmtree(root / 'masks' / 'val')
    data = open_data(str(root), tmp_path / 'lists')
    assert 'val left out: images or label maps are missing' in data.notes[0]


def test_binary_maps_of_0_and_255_say_what_255_means(label_maps, tmp_path):
    root = label_maps('{kind}/{split}')
    (root / 'classes.txt').unlink(missing_ok=True)
    for path in root.glob('masks/*/*.png'):
        cv2.imwrite(str(path), np.eye(60, 100, dtype=np.uint8) * 255)
    with pytest.raises(DataError, match='255 is ignored: write 1 where it means a class'):
        open_data(str(root), tmp_path / 'lists')


def test_class_folders_with_and_without_parts(class_folders, tmp_path):
    root = class_folders()
    data = open_data(str(root), tmp_path / 'lists')
    assert (data.task, data.classes) == ('classes', ('ant', 'bee'))
    assert (len(load(data.train)), len(load(data.val))) == (8, 8)
    data = open_data(str(root / 'train'), tmp_path / 'lists')
    train, val = load(data.train), load(data.val)
    assert (len(train), len(val)) == (6, 2)
    for part in (train, val):
        for name, label in zip(part.image_ids, part.labels):
            assert name.startswith(part.classes[label])


@pytest.mark.parametrize(
    ('fixture', 'arguments', 'message'),
    [
        ('class_folders', dict(classes=('ant',)), 'one class alone'),
        ('class_folders', dict(splits=('val',)), 'no part for training'),
        ('label_maps', dict(splits=('val',)), 'no part for training'),
        ('yolo', dict(val=2), 'no part for training'),
        ('yolo', dict(train=1), 'training and validation take 2'),
    ],
)
def test_what_cannot_be_learned_is_one_line(fixture, arguments, message, request, tmp_path):
    path = request.getfixturevalue(fixture)(**arguments)
    with pytest.raises(DataError, match=message) as caught:
        open_data(str(path), tmp_path / 'lists')
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_of_something_else_is_named(tmp_path):
    (tmp_path / 'none').mkdir()
    with pytest.raises(DataError, match='none: neither labels of boxes'):
        open_data(str(tmp_path / 'none'), tmp_path)


@pytest.fixture(params=['YOLO', 'data.yaml', 'VOC', 'COCO', 'a COCO file', 'maps', 'classes'])
def any_kind(request, yolo, label_maps, class_folders, tmp_path):
    """A path of each kind with four images for training, and a part for validation."""
    from hrdet.data.formats import convert_labels

    if request.param == 'maps':
        return str(label_maps(count=4))
    if request.param == 'classes':
        return str(class_folders(count=2))
    root, new = yolo(train=4, val=2), tmp_path / 'new'
    if request.param in ('VOC', 'COCO', 'a COCO file'):
        convert_labels(root, str(new), request.param.split()[-1].replace('file', 'coco').lower())
        root = str(new / 'annotations/train.json' if 'file' in request.param else new)
    return f'{root}/data.yaml' if request.param == 'data.yaml' else root


def test_a_check_opens_the_parts_that_a_training_takes(any_kind, tmp_path):
    text, parts = open_parts(any_kind)
    assert text == open_data(any_kind, tmp_path / 'lists').notes[0]
    sets = {split: kind(**arguments) for split, (kind, arguments) in parts.items()}
    assert len(sets[next(iter(sets))]) == 4
    assert list(sets) in (['train', 'val'], [''])
    assert all(len(dataset.classes) == 2 for dataset in sets.values())
