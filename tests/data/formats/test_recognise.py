"""Each format is recognised as the tools of the field lay it out, and mistakes are one line."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from hrdet.data import CocoDataset, DataError
from hrdet.data.formats import recognise_labels

from .conftest import write_image

BOX = (0, 0, [4, 6, 20, 30], [], 0)
LABEL = '0 0.5 0.5 0.25 0.5\n'


def yolo(root, layout, splits=('train', 'val'), yaml=None):
    """A YOLO data set of one image of 40 x 80 a part; ``{}`` in ``layout`` are kind and part."""
    for split in splits:
        write_image(root / layout.format(kind='images', split=split) / 'a.jpg', (40, 80))
        labels = root / layout.format(kind='labels', split=split) / 'a.txt'
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(LABEL)
    if yaml:
        (root / 'data.yaml').write_text(yaml)
    return str(root)


def summary(data):
    """Kind, and images and boxes of each part."""
    parts = {p.split: (len(p.table.file_names), len(p.table.boxes)) for p in data.parts}
    assert not [p for part in data.parts for p in part.problems if p.fatal]
    return data.kind, parts


@pytest.mark.parametrize(
    ('layout', 'yaml'),
    [
        ('{kind}/{split}', 'train: images/train\nval: images/val\nnames: [cat]'),
        ('{kind}/{split}', 'path: .\ntrain: images/train\nval: images/val\nnames: {0: cat}'),
        ('{split}/{kind}', 'train: train/images\nval: val/images\nnc: 1\nnames: [cat]'),
        ('{split}/{kind}', 'train: ../train/images\nval: ../val/images\nnames: ["cat"]'),
        ('{split}/{kind}', 'path: /nowhere\ntrain: train/images\nval: val/images\nnames: [cat]'),
        ('{kind}/{split}', 'path: {root}\ntrain: [images/train]\nval: images/val\nnames: [cat]'),
        ('{kind}/{split}', None),
        ('{split}/{kind}', None),
    ],
)
def test_yolo_in_both_layouts(tmp_path, layout, yaml):
    root = yolo(tmp_path, layout, yaml=yaml and yaml.replace('{root}', str(tmp_path)))
    if yaml is None:
        (tmp_path / 'classes.txt').write_text('cat\n')
    data = recognise_labels(root)
    assert summary(data) == ('YOLO', {'train': (1, 1), 'val': (1, 1)})
    np.testing.assert_allclose(data.parts[0].table.boxes, [[30, 10, 50, 30]])
    assert data.parts[1].table.classes == ('cat',)


def test_yolo_takes_lists_of_images(tmp_path):
    root = yolo(tmp_path, '{kind}/{split}', yaml='train: train.txt\nnames: [cat]')
    (tmp_path / 'train.txt').write_text('./images/train/a.jpg\n./images/val/a.jpg\n')
    data = recognise_labels(root)
    assert summary(data) == ('YOLO', {'train': (2, 2)})
    assert data.parts[0].table.file_names == ['train/a.jpg', 'val/a.jpg']


@pytest.mark.parametrize(
    ('yaml', 'message'),
    [
        ('train: images/train\nnames: 3', r'data\.yaml: names: a list'),
        ('train: images/train\nnames: {1: cat}', r'data\.yaml: names: the numbers of 1 classes'),
        ('train: images/train\nnames: [cat, cat]', r"data\.yaml: names: a second class 'cat'"),
        ('train: images/train\nnc: 2\nnames: [cat]', r'data\.yaml: nc is 2, but names has 1'),
        ('train: images/trian\nnames: [cat]', r'data\.yaml: train: there is no folder or list'),
        ('train: labels\nnames: [cat]', r'data\.yaml: train: there are no images in labels'),
        ('names: [cat]', r'data\.yaml: it names no images'),
        (
            'train: images/train\nnames: [cat]\nkpt_shape: [4, 2]',
            r'kpt_shape: labels of key points',
        ),
        ('names: [cat', r'data\.yaml: not YAML'),
        ('a: &a [cat]\nnames: [*a, *a]', r'data\.yaml: not YAML: an alias'),
        ('names: ' + 5000 * '[', r'data\.yaml: not YAML: more than 20 lists'),
        ('train: list.txt\nnames: [cat]', r'train .*list\.txt: not a text in UTF-8'),
        ('names', r'data\.yaml: a YAML file with'),
        ('names: !!python/object/apply:os.system ["ls"]', r'data\.yaml: not YAML'),
    ],
)
def test_a_wrong_yaml_is_one_line(tmp_path, yaml, message):
    root = yolo(tmp_path, '{kind}/{split}', yaml=yaml)
    (tmp_path / 'list.txt').write_bytes(b'images/caf\xe9.jpg')
    with pytest.raises(DataError, match=message) as caught:
        recognise_labels(root)
    assert len(str(caught.value).splitlines()) == 1


def test_yolo_without_names_or_text_files(tmp_path):
    root = yolo(tmp_path, '{kind}/{split}')
    with pytest.raises(DataError, match=r'without names: write data\.yaml'):
        recognise_labels(root)
    (tmp_path / 'data.yaml').write_text('train: images/train\nnames: [cat]')
    shutil.rmtree(tmp_path / 'labels')
    with pytest.raises(
        DataError, match=r'none of 1 image has a text file of labels, such as .*a\.txt'
    ):
        recognise_labels(root)


def test_coco_as_it_lays_it_out(coco_source):
    root = coco_source([BOX])
    data = recognise_labels(str(root))
    assert summary(data) == ('COCO', {'train': (2, 1), 'val': (2, 1)})
    part = data.parts[0]
    assert part.ann_file == str(root / 'annotations/instances_train.json')
    dataset = CocoDataset(part.ann_file, part.images, min_size=0)
    assert dataset.classes == ('cat', 'dog')
    assert str(data).endswith('taken for COCO: train 2 images, val 2 images; 2 classes: cat, dog')


def test_the_file_of_instances_is_taken_where_there_are_others(coco_source):
    root = coco_source([BOX])
    for split in ('train', 'val'):
        file = root / f'annotations/instances_{split}.json'
        content = json.loads(file.read_text())
        content['annotations'][0]['keypoints'] = [1, 2, 2]
        (root / f'annotations/person_keypoints_{split}.json').write_text(json.dumps(content))
        (root / f'annotations/captions_{split}.json').write_text(
            '{"images": [], "annotations": []}'
        )
    names = [part.ann_file.rsplit('/', 1)[1] for part in recognise_labels(str(root)).parts]
    assert names == ['instances_train.json', 'instances_val.json']
    for split in ('train', 'val'):
        (root / f'annotations/instances_{split}.json').unlink()
    names = [part.ann_file.rsplit('/', 1)[1] for part in recognise_labels(str(root)).parts]
    assert names == ['person_keypoints_train.json', 'person_keypoints_val.json']


def test_coco_in_a_zip_is_read_in_place(coco_source, tmp_path):
    root = coco_source([BOX])
    archive = tmp_path / 'all.zip'
    with zipfile.ZipFile(archive, 'w') as file:
        for path in root.rglob('*.*'):
            file.write(path, 'top/' + str(path.relative_to(root)))
    data = recognise_labels(str(archive))
    assert summary(data) == ('COCO', {'train': (2, 1), 'val': (2, 1)})
    # Both parts have images of the same names.
    assert [part.images for part in data.parts] == [
        f'{archive}/top/train',
        f'{archive}/top/val',
    ]


def test_the_export_of_label_studio(coco_source, tmp_path):
    root = coco_source([BOX], splits=('train',))
    content = json.loads((root / 'annotations/instances_train.json').read_text())
    for image in content['images']:
        image['file_name'] = f'images\\{image["file_name"]}'
    export = tmp_path / 'export'
    export.mkdir()
    (export / 'result.json').write_text(json.dumps(content))
    shutil.copytree(root / 'train', export / 'images')
    data = recognise_labels(str(export))
    assert summary(data) == ('COCO', {'': (2, 1)})
    assert data.parts[0].table.file_names == ['images/a.jpg', 'images/b.jpg']


def test_the_folders_of_roboflow(coco_source, tmp_path):
    root = coco_source([BOX])
    for split in ('train', 'val'):
        folder = tmp_path / 'export' / split.replace('val', 'valid')
        shutil.copytree(root / split, folder)
        shutil.copy(root / f'annotations/instances_{split}.json', folder / '_annotations.coco.json')
    data = recognise_labels(str(tmp_path / 'export'))
    assert summary(data) == ('COCO', {'train': (2, 1), 'val': (2, 1)})


def test_masks_of_cvat_are_objects(coco_source):
    runs = dict(counts=[10, 200, 48 * 64 - 210], size=[48, 64])
    root = coco_source([BOX, (1, 1, [0, 0, 10, 48], runs, 1)])
    assert recognise_labels(str(root)).parts[0].table.crowd.tolist() == [False, True]
    for file in (root / 'annotations').iterdir():
        content = json.loads(file.read_text())
        for entry in content['annotations']:
            entry['attributes'] = {'occluded': False}
        file.write_text(json.dumps(content))
    part = recognise_labels(str(root)).parts[0]
    assert part.table.crowd.tolist() == [False, False]
    assert part.table.segmentations[1] == runs
    assert part.ann_file is None  # the file itself would be read with crowd regions
    assert 'CVAT' in str(part.problems[-1])


def test_lists_of_classes_that_differ_become_one(coco_source):
    root = coco_source([BOX, (0, 1, [1, 1, 9, 9], [], 0)])
    file = root / 'annotations/instances_val.json'
    content = json.loads(file.read_text())
    content['categories'].reverse()
    for i, entry in enumerate(content['categories']):
        entry['id'] = i
    for entry in content['annotations']:
        entry['category_id'] = 1 - (entry['category_id'] - 3) // 10
    file.write_text(json.dumps(content))
    train, val = recognise_labels(str(root)).parts
    assert train.table.classes == val.table.classes == ('cat', 'dog')
    assert train.table.labels.tolist() == val.table.labels.tolist() == [0, 1]


def voc_page(name, size=(40, 80), filename=None):
    h, w = size
    return (
        f'<annotation><filename>{filename or name}</filename><size><width>{w}</width><height>{h}'
        f'</height><depth>3</depth></size><object><name>cat</name><bndbox><xmin>5</xmin><ymin>7'
        f'</ymin><xmax>24</xmax><ymax>36</ymax></bndbox></object></annotation>'
    )


@pytest.mark.parametrize(
    ('labels', 'images'), [('Annotations', 'images'), ('Annotations', 'JPEGImages'), ('.', '.')]
)
def test_voc_without_lists(tmp_path, labels, images):
    write_image(tmp_path / images / 'a.png', (40, 80))
    (tmp_path / labels).mkdir(exist_ok=True)
    (tmp_path / labels / 'a.xml').write_text(voc_page('a'))  # Label Studio: without a suffix
    data = recognise_labels(str(tmp_path))
    assert summary(data) == ('VOC', {'': (1, 1)})
    assert data.parts[0].table.file_names == ['a.png']
    np.testing.assert_allclose(data.parts[0].table.boxes, [[4, 6, 24, 36]])


def test_voc_with_the_list_of_cvat(tmp_path):
    write_image(tmp_path / 'JPEGImages/a b.jpg', (40, 80))
    for folder, name, text in (
        ('Annotations', 'a b.xml', voc_page('a b.jpg')),
        ('ImageSets/Main', 'default.txt', '"a b"\n'),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    assert summary(recognise_labels(str(tmp_path))) == ('VOC', {'': (1, 1)})


def test_labelme_without_an_object_tells_why(tmp_path):
    page = dict(imagePath='gone.jpg', imageHeight=4, imageWidth=4, shapes=[], version='5')
    (tmp_path / 'a.json').write_text(json.dumps(page))
    with pytest.raises(DataError, match=r'it has no object: .*a\.json: .*there is no image'):
        recognise_labels(str(tmp_path))


@pytest.mark.parametrize(
    ('name', 'text', 'tool'),
    [
        ('annotations.xml', '<annotations><image name="a.jpg"/></annotations>', 'CVAT'),
        ('project.json', '[{"id": 1, "data": {"image": "a.jpg"}}]', 'Label Studio'),
    ],
)
def test_the_export_to_choose_in_place_of_a_tools_own_format(tmp_path, name, text, tool):
    write_image(tmp_path / 'images' / 'a.jpg', (40, 80))
    (tmp_path / name).write_text(text)
    path = tmp_path if name.endswith('.xml') else tmp_path / name
    with pytest.raises(DataError, match=rf'{name}: .*export COCO.* from {tool}'):
        recognise_labels(str(path))


def test_labelme_beside_its_images(tmp_path):
    shapes = [dict(label='cat', points=[[1, 2], [30, 20]], shape_type='rectangle')]
    for split in ('train', 'val'):
        write_image(tmp_path / split / 'a.jpg', (40, 80))
        page = dict(shapes=shapes, imagePath='a.jpg', imageHeight=40, imageWidth=80)
        (tmp_path / split / 'a.json').write_text(json.dumps(page))
    assert summary(recognise_labels(str(tmp_path))) == (
        'labelme',
        {'train': (1, 1), 'val': (1, 1)},
    )


def test_what_holds_no_labels(tmp_path):
    assert recognise_labels(str(tmp_path)) is None
    with pytest.raises(DataError, match=r'none: there is no such file or folder'):
        recognise_labels(str(tmp_path / 'none'))


def test_images_that_are_nowhere_are_named(coco_source):
    root = coco_source([BOX])
    shutil.rmtree(root / 'val')
    with pytest.raises(
        DataError, match=r'instances_val\.json: images\[0\]: there is no image a\.jpg'
    ):
        recognise_labels(str(root))


def test_two_files_for_one_part_are_named(coco_source):
    root = coco_source([BOX])
    shutil.copy(
        root / 'annotations/instances_val.json', root / 'annotations/instances_validation.json'
    )
    with pytest.raises(
        DataError, match=r'instances_val\.json and instances_validation\.json are both'
    ):
        recognise_labels(str(root))


@pytest.mark.parametrize('name', ['no', '~', '1.10', ''])
def test_yaml_that_reads_a_name_as_something_else(tmp_path, name):
    """The class 'no' would be called 'False'."""
    yaml = f'train: images/train\nval: images/val\nnames:\n  0: cat\n  1: {name}\n'
    root = yolo(tmp_path, '{kind}/{split}', yaml=yaml)
    with pytest.raises(DataError, match=r'data\.yaml: names: class 1 is read as .*quotation marks'):
        recognise_labels(root)
    (tmp_path / 'data.yaml').write_text(yaml.replace(f'1: {name}', f'1: "{name or "x"}"'))
    assert recognise_labels(root).parts[0].table.classes == ('cat', name or 'x')


def test_yolo_text_files_without_their_images(tmp_path):
    """In folders that have images and in one that has none; other texts beside them are none."""
    root = yolo(tmp_path, '{kind}/{split}', yaml='train: train.txt\nnames: [cat]')
    (tmp_path / 'train.txt').write_text('./images/train/a.jpg\n')
    labels = tmp_path / 'labels/train'
    (labels / 'classes.txt').write_text('cat\n')
    write_image(tmp_path / 'images/train/listed_elsewhere.png', (40, 80))
    (labels / 'listed_elsewhere.txt').write_text(LABEL)
    assert recognise_labels(root).parts[0].problems == []
    (tmp_path / 'images/train/photo.heic').write_bytes(b'')
    (labels / 'photo.txt').write_text(LABEL)
    (labels / 'more').mkdir()
    (labels / 'more/a.txt').write_text(LABEL)
    (problem,) = recognise_labels(root).parts[0].problems
    assert not problem.fatal
    assert '2 files of labels without an image in ' in problem.reason
    assert 'such as more/a.txt: add the image' in problem.reason


def test_a_label_of_voc_that_fits_two_images(tmp_path):
    for name in (
        'JPEGImages/x/a.png',
        'JPEGImages/y/a.bmp',
        'JPEGImages/b.jpg',
        'JPEGImages/b.png',
    ):
        write_image(tmp_path / name, (40, 80))
    (tmp_path / 'Annotations').mkdir()
    for name in ('a', 'b'):
        (tmp_path / f'Annotations/{name}.xml').write_text(voc_page(f'{name}.jpg'))
    (part,) = recognise_labels(str(tmp_path)).parts
    assert part.table.file_names[1] == 'b.jpg'  # which the file names
    (problem,) = [problem for problem in part.problems if problem.fatal]
    assert problem.where == 'a.jpg'
    assert 'which image is meant, x/a.png or y/a.bmp?' in problem.reason


@pytest.mark.parametrize('kind', ['VOC', 'labelme'])
def test_images_without_a_label_are_left_out_and_told(tmp_path, kind):
    for name in ('a.jpg', 'b.jpg', 'c.png'):
        write_image(tmp_path / name, (40, 80))
    (tmp_path / 'a.xml').write_text(voc_page('a.jpg'))
    if kind == 'labelme':
        (tmp_path / 'a.xml').unlink()
        shapes = [dict(label='cat', points=[[1, 2], [30, 20]], shape_type='rectangle')]
        page = dict(shapes=shapes, imagePath='a.jpg', imageHeight=40, imageWidth=80)
        (tmp_path / 'a.json').write_text(json.dumps(page))
    data = recognise_labels(str(tmp_path))
    assert summary(data) == (kind, {'': (1, 1)})
    (problem,) = data.parts[0].problems
    assert not problem.fatal
    assert '2 of 3 images without a' in problem.reason
    assert 'such as b.jpg, left out' in problem.reason


def test_a_text_file_of_images_in_two_parts(tmp_path):
    root = yolo(tmp_path, '{kind}/{split}', yaml='train: [train.txt]\nval: val.txt\nnames: [cat]')
    write_image(tmp_path / 'images/train/a.png', (40, 80))
    (tmp_path / 'train.txt').write_text('images/train/a.jpg\n')
    (tmp_path / 'val.txt').write_text('images/train/a.png\n')
    (problem,) = recognise_labels(root).parts[0].problems
    assert problem.fatal
    assert 'it belongs to two images, ' in problem.reason
