"""From values in files to labels."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hrdet.data import DataError
from hrdet.data.datasets.images import FolderImages
from hrdet.data.datasets.label_values import LabelReader, LabelValues, read_values

ABC = ('a', 'b', 'c')


def translate(values, raw):
    raw = np.array(raw, np.uint8)
    before = raw.copy()
    labels = LabelReader(values).translate(raw, 'x.png')
    np.testing.assert_array_equal(raw, before)
    return labels.tolist()


def test_values_are_labels():
    assert translate(LabelValues(ABC, ABC), [[0, 1, 2, 255]]) == [[0, 1, 2, 255]]


def test_zero_is_ignored():
    values = LabelValues(ABC, ABC, zero_ignored=True)
    assert translate(values, [[0, 1, 2, 3, 255]]) == [[255, 0, 1, 2, 255]]


def test_reduced_as_in_the_release(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as arrays:
        raw, reduced = arrays['reduce_zero_in'], arrays['reduce_zero_out']
    known = np.flatnonzero(raw != 254)  # which is an error here
    names = tuple(map(str, range(150)))
    values = LabelValues(names, names, zero_ignored=True)
    assert translate(values, [raw.ravel()[known]]) == [reduced.ravel()[known].tolist()]
    with pytest.raises(DataError, match='label 254'):
        translate(values, [raw.ravel()])


def test_a_part_of_the_classes_in_another_order():
    values = LabelValues(('a', 'b', 'c', 'd'), ('d', 'b'))
    assert translate(values, [[0, 1, 2, 3, 255]]) == [[255, 1, 255, 0, 255]]
    values = LabelValues(('a', 'b', 'c', 'd'), ('d', 'b'), zero_ignored=True)
    assert translate(values, [[0, 1, 2, 3, 4, 255]]) == [[255, 255, 1, 255, 0, 255]]


def test_another_value_to_ignore():
    values = LabelValues(ABC, ABC, ignore_index=7)
    assert translate(values, [[0, 7, 2, 255]]) == [[0, 255, 2, 255]]
    values = LabelValues(ABC, ABC, ignore_index=1)
    assert translate(values, [[0, 1, 2]]) == [[0, 255, 2]], 'also where it is a class'


@given(
    st.integers(1, 254),
    st.booleans(),
    st.sampled_from([255, 0, 3, 254]),
    st.lists(st.integers(0, 255), min_size=1, max_size=40),
    st.randoms(),
)
def test_translation_is_that_of_each_pixel(count, zero, ignore, raw, random):
    names = tuple(map(str, range(count)))
    chosen = tuple(random.sample(names, random.randint(1, count)))

    def label(value):
        if value in (ignore, 255):
            return 255
        if zero:
            value = 255 if value == 0 else value - 1
        if value == 255:
            return 255
        if value >= count:
            return None
        return chosen.index(names[value]) if names[value] in chosen else 255

    expected = [label(value) for value in raw]
    values = LabelValues(names, chosen, zero, ignore)
    if None in expected:
        with pytest.raises(DataError, match=f'label {min(v for v in raw if label(v) is None)} in'):
            translate(values, [raw])
    else:
        assert translate(values, [raw]) == [expected]


@pytest.mark.parametrize(
    ('values', 'value', 'message'),
    [
        (
            LabelValues(ABC, ABC),
            3,
            'label 3 in x.png (2 pixels), but 3 classes end at 2; name every class in classes, or '
            'set reduce_zero_label=True if 0 means no class, or set ignore_index=3 if these pixels '
            "have none (with --data: add the line 'unlabelled' to classes.txt)",
        ),
        (
            LabelValues(ABC, ABC, True),
            4,
            'label 4 in x.png (2 pixels), but 3 classes end at 3; name every class in classes, or '
            'set ignore_index=4 if these pixels have none',
        ),
    ],
)
def test_a_foreign_value_is_named_with_the_cure(values, value, message):
    with pytest.raises(DataError) as caught:
        translate(values, [[0, value, 1, value]])
    assert str(caught.value) == message


@pytest.fixture
def store(tmp_path):
    return FolderImages(str(tmp_path))


def write(store, name, image, **options):
    data = io.BytesIO()
    image.save(data, 'TIFF' if name.endswith('.tif') else 'PNG', **options)
    with open(store.path(name), 'wb') as file:
        file.write(data.getvalue())


INDICES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def test_grey_and_palette_pngs_are_read_as_numbers(store):
    grey = Image.fromarray(INDICES)
    palette = Image.fromarray(INDICES).convert('P')
    palette.putdata(INDICES.ravel().tolist())
    palette.putpalette([255, 0, 0, 0, 255, 0, 9, 9, 9])
    write(store, 'grey.png', grey)
    write(store, 'palette.png', palette)
    write(store, 'small.png', palette, bits=2)
    write(store, 'clear.png', palette, transparency=0)
    write(store, 'wide.png', Image.fromarray(INDICES.astype(np.uint16)))
    for name in ('grey.png', 'palette.png', 'small.png', 'clear.png', 'wide.png'):
        values = read_values(store, name)
        assert values.dtype == np.uint8, name
        np.testing.assert_array_equal(values, INDICES, name)


def test_a_bitmap_has_labels_0_and_1(store):
    write(store, 'bits.png', Image.fromarray(INDICES > 0))
    np.testing.assert_array_equal(read_values(store, 'bits.png'), INDICES > 0)


@pytest.mark.parametrize('bits', [2, 4])
def test_grey_of_few_bits_is_not_spread(store, bits):
    """Pillow makes 0, 85, 170 of the samples 0, 1, 2 of 2 bits: other classes."""
    length = -(-3 * bits // 8)  # bytes of a row
    texts = [''.join(f'{value:0{bits}b}' for value in row) for row in INDICES.tolist()]
    numbers = [int(text.ljust(8 * length, '0'), 2) for text in texts]
    rows = b''.join(b'\0' + number.to_bytes(length, 'big') for number in numbers)
    header = struct.pack('>IIBBBBB', 3, 2, bits, 0, 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n'
    for kind, content in ((b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')):
        check = struct.pack('>I', zlib.crc32(kind + content))
        data += struct.pack('>I', len(content)) + kind + content + check
    Path(store.path('few.png')).write_bytes(data)
    np.testing.assert_array_equal(read_values(store, 'few.png'), INDICES)


def test_pictures_of_colours_are_refused(store):
    write(store, 'rgb.png', Image.new('RGB', (3, 2)))
    write(store, 'rgba.png', Image.new('RGBA', (3, 2)))
    write(store, 'wide.png', Image.fromarray(INDICES.astype(np.uint16) + 255))
    for name, change in (('parts.tif', 0.5), ('none.tif', np.nan), ('below.tif', -9)):
        write(store, name, Image.fromarray(INDICES.astype(np.float32) + np.float32(change)))
    write(store, 'minus.tif', Image.fromarray(INDICES.astype(np.int32) - 2))
    files = ('rgb.png', 'rgba.png', 'wide.png', 'parts.tif', 'none.tif', 'below.tif', 'minus.tif')
    for name in files:
        with pytest.raises(DataError, match=f'{name}: a label map has one number a pixel'):
            read_values(store, name)


def test_files_that_cannot_be_read(store):
    cv2.imwrite(store.path('a.png'), INDICES)
    with open(store.path('a.png'), 'rb') as file:
        data = file.read()
    for name, content in (('cut.png', data[:50]), ('text.png', b'text'), ('empty.png', b'')):
        with open(store.path(name), 'wb') as file:
            file.write(content)
        with pytest.raises(DataError, match=name):
            read_values(store, name)


@pytest.mark.parametrize('kind', ['JPEG', 'WEBP'])
def test_formats_that_change_values_are_refused(store, kind):
    """Whatever its name says."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(store.path('0.png'), kind)
    with pytest.raises(DataError, match=rf'0\.png: a {kind} file.*as PNG'):
        read_values(store, '0.png')


def test_what_is_no_image_is_said_so(store):
    with open(store.path('0.png'), 'wb') as file:
        file.write(b'noise')
    with pytest.raises(DataError, match=r'0\.png: not an image; a label map is a PNG file$'):
        read_values(store, '0.png')


def test_a_label_map_of_several_pages_is_refused(tmp_path):
    first, second = (Image.new('L', (4, 4), value) for value in (0, 1))
    first.save(tmp_path / 'a.tif', save_all=True, append_images=[second])
    with pytest.raises(DataError, match=r'a\.tif: a label map of several frames or pages'):
        read_values(FolderImages(str(tmp_path)), 'a.tif')
