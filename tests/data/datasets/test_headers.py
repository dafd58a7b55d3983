"""Size, depth and orientation of image files before any pixel is decoded."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from hrdet.data import DataError, DataWarning
from hrdet.data.datasets.damage import decode_sound
from hrdet.data.datasets.headers import read_header
from hrdet.data.datasets.images import decode

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def with_mark(orientation, kind='jpeg', order=b'Exif\0\0II*\0'):
    exif = Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.tif', '.webp', '.ppm'])
def test_sizes_of_all_formats(suffix):
    data = cv2.imencode(suffix, PIXELS)[1].tobytes()
    assert read_header(data)[:5] == (20, 30, 8, 1, False)


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientations(kind, orientation):
    assert read_header(with_mark(orientation, kind))[:4] == (20, 30, 8, orientation)


def test_big_endian_orientation():
    body = b'MM\0*' + struct.pack('>IHHHIHHI', 8, 1, 0x112, 3, 1, 6, 0, 0)
    segment = b'Exif\0\0' + body
    data = cv2.imencode('.jpg', PIXELS)[1].tobytes()
    marked = data[:2] + b'\xff\xe1' + struct.pack('>H', len(segment) + 2) + segment + data[2:]
    assert read_header(marked)[:4] == (20, 30, 8, 6)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_sixteen_bits(suffix):
    data = cv2.imencode(suffix, PIXELS[..., 0].astype(np.uint16))[1].tobytes()
    assert read_header(data).bits == 16


@pytest.mark.parametrize('seed', range(20))
def test_damaged_headers_are_no_other_error(seed):
    """Any bytes give a header, None or a DataError."""
    rng = np.random.default_rng(seed)
    data = bytearray(with_mark(6))
    for position in rng.integers(2, 120, 4):
        data[position] = rng.integers(256)
    header = read_header(bytes(data[: rng.integers(2, len(data))]))
    assert header is None or 1 <= header.orientation <= 8


def claims(width, height):
    """A PNG of a few bytes that claims a size."""

    def chunk(kind, body):
        checksum = struct.pack('>I', zlib.crc32(kind + body))
        return struct.pack('>I', len(body)) + kind + body + checksum

    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = chunk(b'IDAT', zlib.compress(bytes(1000)))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + data + chunk(b'IEND', b'')


def test_images_that_claim_to_be_huge_are_refused(monkeypatch):
    jpeg = bytearray(cv2.imencode('.jpg', PIXELS)[1].tobytes())
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 5 : frame + 9] = struct.pack('>HH', 65500, 65500)
    for data in (claims(33000, 33000), bytes(jpeg)):
        with pytest.raises(DataError, match=r'big\..*more than 268,435,456 .*HRDET_MAX_PIXELS'):
            decode(data, 'big.x')
    monkeypatch.setenv('HRDET_MAX_PIXELS', '599')
    with pytest.raises(DataError, match='30 x 20 pixels; more than 599'):
        decode(with_mark(1), 'small.jpg')
    monkeypatch.setenv('HRDET_MAX_PIXELS', '600')
    assert decode(with_mark(1), 'small.jpg').shape == (20, 30, 3)
    monkeypatch.setenv('HRDET_MAX_PIXELS', 'many')
    with pytest.raises(DataError, match="HRDET_MAX_PIXELS='many' is not a number"):
        decode(with_mark(1), 'small.jpg')


def test_bounds_of_opencv_are_named(monkeypatch):
    monkeypatch.setenv('HRDET_MAX_PIXELS', str(1 << 40))
    with pytest.raises(DataError, match=r'big\.png: not an image OpenCV can read'):
        decode(claims(33000, 33000), 'big.png')


def several(kind, *more, **options):
    """An image file of ``PIXELS`` and further frames or pages."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(pixels) for pixels in (PIXELS, *more))
    first.save(file, kind, save_all=True, append_images=others, **options)
    return file.getvalue()


@pytest.mark.parametrize('kind', ['tiff', 'gif', 'webp', 'png'])
def test_further_frames_are_told(kind):
    assert read_header(several(kind, 255 - PIXELS)).more_frames
    assert not read_header(several(kind)).more_frames
    with pytest.warns(DataWarning, match=r'a\.tif: several frames or pages: only the first'):
        image = decode_sound(several('tiff', 255 - PIXELS), 'a.tif')
    np.testing.assert_array_equal(image[..., ::-1], PIXELS)


def pages(kinds):
    """A TIFF file of a page for each kind: the value of the tag NewSubfileType."""
    file = io.BytesIO()
    with AppendingTiffWriter(file, new=True) as writer:
        for kind in kinds:
            Image.fromarray(PIXELS).save(writer, 'tiff', tiffinfo={254: kind})
            writer.newFrame()
    return file.getvalue()


@pytest.mark.parametrize(
    ('kinds', 'told'),
    [([0, 1, 1], False), ([0, 1, 4, 5], False), ([0, 1, 0], True), ([2, 2], True)],
)
def test_smaller_copies_of_a_page_are_no_further_pages(kinds, told):
    assert read_header(pages(kinds)).more_frames is told


def test_a_damaged_second_page_does_not_hide_the_size():
    data = bytearray(pages([0, 0]))
    first = int.from_bytes(data[4:8], 'little')
    after = first + 2 + 12 * int.from_bytes(data[first : first + 2], 'little')
    data[after : after + 4] = (2**31).to_bytes(4, 'little')  # where the second page would be
    assert read_header(bytes(data))[:2] == (20, 30)


def test_colours_in_cielab_are_refused():
    """OpenCV's RGB of them differs by a dozen levels from Pillow's."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, 'tiff')
    lab = io.BytesIO()
    Image.frombytes('LAB', (30, 20), PIXELS.tobytes()).save(lab, 'tiff')
    decode(file.getvalue(), 'a.tif')
    for read in (decode, decode_sound):
        with pytest.raises(DataError, match=r'a\.tif: its colours are in CIELAB, .*save the file'):
            read(lab.getvalue(), 'a.tif')


def test_alpha_of_a_tiff_file_is_dropped_as_of_others():
    """OpenCV multiplies the colours by it."""
    alpha = np.linspace(0, 255, PIXELS[..., 0].size).reshape(20, 30, 1).astype(np.uint8)
    for kind in ('TIFF', 'PNG'):
        file = io.BytesIO()
        Image.fromarray(np.concatenate([PIXELS, alpha], axis=2)).save(file, kind)
        np.testing.assert_array_equal(decode(file.getvalue(), 'a'), PIXELS[..., ::-1])
    file = io.BytesIO()
    Image.fromarray(np.concatenate([PIXELS, alpha], axis=2)).save(file, 'TIFF', tiffinfo={0x112: 6})
    with pytest.raises(DataError, match='a: a TIFF file with alpha that is stored turned'):
        decode(file.getvalue(), 'a')
    with pytest.raises(DataError, match='a: not a TIFF file that can be read'):
        decode(file.getvalue().replace(b'\x12\x01\x03', b'\x13\x01\x03')[:-300], 'a')
