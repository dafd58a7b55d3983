"""VOC folders: boxes counted from 1, difficult objects, broken XML."""

import cv2
import numpy as np
import pytest

from hrdet.data import DataError, DataWarning, VOCDataset

OBJECT = (
    '<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin>'
    '<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>'
)


class VOCFolder:
    def __init__(self, root):
        self.root = root
        for name in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
            (root / name).mkdir(parents=True)
        self.list = root / 'ImageSets' / 'Main' / 'train.txt'
        self.list.write_text('a\nb  1\n')
        self.write('a', [('dog', (1, 1, 50, 40), 0), ('cat', (11, 6, 20, 30), 1)])
        self.write('b', [('cat', (3, 4, 10, 12), 0)])
        self.write('c', [('emu', (3, 4, 10, 12), 0)])

    def write(self, name, objects, size=(40, 50), suffix='.jpg'):
        objects = [OBJECT.format(name=n, box=box, difficult=d) for n, box, d in objects]
        self.write_text(
            name,
            f'<annotation><filename>{name}{suffix}</filename><size><width>{size[1]}</width>'
            f'<height>{size[0]}</height></size>{"".join(objects)}</annotation>',
        )
        cv2.imwrite(str(self.root / 'JPEGImages' / (name + suffix)), np.zeros((*size, 3), np.uint8))

    def write_text(self, name, text):
        (self.root / 'Annotations' / f'{name}.xml').write_text(text)

    def load(self, **options):
        return VOCDataset(str(self.list), str(self.root), **options)


@pytest.fixture
def voc(tmp_path):
    return VOCFolder(tmp_path)


def test_boxes_classes_and_ids(voc):
    dataset = voc.load()
    assert dataset.classes == ('cat', 'dog', 'emu'), 'of all files, so that splits agree'
    assert dataset.category_ids == (1, 2, 3)
    assert dataset.image_ids == [0, 1]
    sample = dataset[0]
    assert sample.meta.original_size == (40, 50)
    assert sample.truth.boxes.tolist() == [[0, 0, 50, 40]]
    assert sample.truth.labels.tolist() == [1]
    assert sample.truth.ignored.tolist() == [[10, 5, 20, 30]]
    assert voc.load(classes=('dog',)).image_ids == [0]
    with pytest.raises(DataError, match=r"no class 'cow'.*\n.*cat, dog, emu"):
        voc.load(classes=('cow',))


def test_to_coco(voc):
    content = voc.load().to_coco()
    assert [image['id'] for image in content['images']] == [0, 1]
    assert [(a['image_id'], a['category_id'], a['iscrowd']) for a in content['annotations']] == [
        (0, 2, 0), (0, 1, 1), (1, 1, 0)
    ]  # fmt: skip
    assert content['annotations'][1]['bbox'] == [10, 5, 10, 25]


def test_other_image_types(voc):
    voc.write('b', [('cat', (3, 4, 10, 12), 0)], suffix='.png')
    assert voc.load()[1].meta.path.endswith('b.png')


def test_sizes_written_as_decimals(voc):
    text = (voc.root / 'Annotations/b.xml').read_text()
    voc.write_text('b', text.replace('<width>50<', '<width>50.0<'))
    assert voc.load()[1].meta.original_size == (40, 50)


def test_names_with_spaces_and_lists_of_one_class(voc):
    """A number at the end of a line is part of the name where an image has that name."""
    for name in ('two words', 'two words 1', 'd 1'):
        voc.write(name, [('cat', (3, 4, 10, 12), 0)])
    voc.list.write_text('two words\ntwo words 1\na -1\nb  1\n\nd 1 0\r\n')
    dataset = voc.load()
    names = [dataset[i].meta.path.rsplit('/')[-1] for i in range(len(dataset))]
    assert names == ['two words.jpg', 'two words 1.jpg', 'a.jpg', 'b.jpg', 'd 1.jpg']
    voc.list.write_text('a 2\n')
    with pytest.raises(DataError, match=r"train\.txt: image 'a 2': no .*a 2\.xml"):
        voc.load()


def test_blood_cells(data_dir):
    root = data_dir / 'bccd'
    with pytest.warns(DataWarning, match=r'BloodImage_00343\.xml: object\[3\]: a box one pixel'):
        dataset = VOCDataset(str(root / 'ImageSets/Main/train.txt'), str(root))
    assert dataset.classes == ('Platelets', 'RBC', 'WBC')
    assert len(dataset) == 205
    sample = dataset[0]
    assert sample.image.shape == (480, 640, 3)
    assert sample.truth.boxes.min() >= 0


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('<annotation>', r'b\.xml: not XML'),
        ('<annotation></annotation>', r'b\.xml: no <size>'),
        ('<annotation><size><width>0</width><height>4</height></size></annotation>', 'no <size>'),
        ('<annotation><size><width>9.5</width><height>4</height></size></annotation>', 'no <size>'),
        ('<annotation><size><width>inf</width><height>4</height></size></annotation>', 'no <size>'),
    ],
)
def test_broken_files(voc, text, reason):
    voc.write_text('b', text)
    with pytest.raises(DataError, match=reason):
        voc.load()
    voc.list.write_text('a\n')
    assert len(voc.load()) == 1, 'files of other lists do not matter'


@pytest.mark.parametrize(
    ('box', 'reason'),
    [((9, 4, 5, 12), 'is empty'), (('nan', 4, 5, 12), 'is empty'), (('x', 1, 2, 3), "'x'")],
)
def test_broken_boxes(voc, box, reason):
    voc.write('b', [('cat', (3, 4, 10, 12), 0), ('cat', box, 0)])
    with pytest.raises(DataError, match=rf'b\.xml: object\[1\]: .*{reason}'):
        voc.load()


def test_missing_parts(voc):
    voc.write_text('b', '<annotation><object><name>x</name></object></annotation>')
    with pytest.raises(DataError, match=r'object\[0\]: no <bndbox>'):
        voc.load()
    voc.list.write_text('a\nz\n')
    with pytest.raises(DataError, match=r"train\.txt: image 'z': no .*z\.xml"):
        voc.load()
    with pytest.raises(DataError, match=r'there is no file .*val\.txt'):
        VOCDataset(str(voc.root / 'val.txt'), str(voc.root))
    with pytest.raises(DataError, match=r'no Annotations/\*\.xml'):
        VOCDataset(str(voc.list), str(voc.root / 'JPEGImages'))


def test_doubtful_boxes_are_reported(voc):
    voc.write('b', [('cat', (3, 4, 3, 12), 0), ('cat', (3, 4, 60, 12), 0)])
    with pytest.warns(DataWarning) as caught:
        assert len(voc.load()[1].truth.boxes) == 2
    assert 'object[0]: a box one pixel' in str(caught[0].message)
    assert 'object[1]: the box (3.0, 4.0, 60.0, 12.0) leaves' in str(caught[0].message)


@pytest.mark.parametrize('edge', ['1e23', '1e400', str(2**20 + 1)])
def test_sizes_are_bounded(voc, edge):
    size = f'<size><width>{edge}</width><height>4</height></size>'
    voc.write_text('b', f'<annotation>{size}</annotation>')
    with pytest.raises(DataError, match='no <size>'):
        voc.load()


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'gbk', 'shift_jis', 'cp1252'])
def test_encodings(voc, encoding):
    name = 'café' if encoding == 'cp1252' else '猫'
    declared = encoding.removesuffix('-sig')
    text = OBJECT.format(name=name, box=(3, 4, 10, 12), difficult=0)
    text = (
        f'<?xml version="1.0" encoding="{declared}"?><annotation><size><width>50</width>'
        f'<height>40</height></size>{text}</annotation>'
    )
    (voc.root / 'Annotations/b.xml').write_bytes(text.encode(encoding))
    assert name in voc.load().classes


def test_other_encodings_than_declared_are_named(voc):
    text = '<annotation><object><name>狗</name></object></annotation>'
    for data in (text.encode('gbk'), b'<?xml version="1.0" encoding="none-such"?>' + text.encode()):
        (voc.root / 'Annotations/b.xml').write_bytes(data)
        with pytest.raises(DataError, match=r'b\.xml: not XML, in the encoding'):
            voc.load()
    voc.list.write_bytes('狗\n'.encode('gbk'))
    with pytest.raises(DataError, match=r'ann_file .*train\.txt: not a text in UTF-8'):
        voc.load()


@pytest.mark.parametrize(('flag', 'difficult'), [('1', 1), ('true', 1), ('False', 0), ('', 0),
                                                 ('Unspecified', 0)])  # fmt: skip
def test_flags_of_difficult_objects(voc, flag, difficult):
    voc.write('b', [('cat', (3, 4, 10, 12), flag), ('cat', (3, 4, 10, 12), 0)])
    assert voc.load().table.crowd[-2:].tolist() == [bool(difficult), False]


def test_a_flag_that_means_nothing_is_named(voc):
    voc.write('b', [('cat', (3, 4, 10, 12), '7')])
    with pytest.raises(DataError, match=r"object\[0\]: <difficult> must be 0 or 1, not '7'"):
        voc.load()


def test_entities_are_neither_expanded_without_end_nor_read_from_files(voc, tmp_path):
    bomb = ''.join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    (tmp_path / 'secret').write_text('secret')
    for entities, name in (
        (f'<!ENTITY e0 "{"x" * 100}">{bomb}', '&e11;'),
        (f'<!ENTITY f SYSTEM "file://{tmp_path}/secret">', '&f;'),
    ):
        text = OBJECT.format(name=name, box=(3, 4, 10, 12), difficult=0)
        voc.write_text('b', f'<!DOCTYPE a [{entities}]><annotation>{text}</annotation>')
        with pytest.raises(DataError, match=r'b\.xml: ') as caught:
            voc.load()
        assert 'secret' not in str(caught.value).replace(str(tmp_path), '')


def test_names_that_are_listed_twice_are_told(voc):
    voc.list.write_text('a\nb\na\na\n')
    with pytest.warns(DataWarning, match=r'train\.txt: 2 of 4 names are there before'):
        assert len(voc.load()) == 2


def test_coordinates_beyond_float32_are_refused(voc):
    voc.write('a', [('dog', (1, 1, 1e300, 40), 0)])
    with pytest.raises(DataError, match=r'a\.xml: object\[0\]: the box'):
        voc.load()


def test_the_name_of_another_image_is_told(voc):
    text = (voc.root / 'Annotations' / 'a.xml').read_text()
    voc.write_text('a', text.replace('a.jpg', 'b.jpg'))
    with pytest.warns(DataWarning, match=r"a\.xml: filename: 'b', .* the image 'a' is taken"):
        assert voc.load().table.file_names == ['a.jpg', 'b.jpg']
