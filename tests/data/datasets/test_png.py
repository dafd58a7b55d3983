"""PNG files: the same pixels as OpenCV and Pillow give, whatever decodes them."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hrdet.data import DataError
from hrdet.data.datasets import png
from hrdet.data.datasets.images import COLOUR, decode

pytest.importorskip('deflate')
pytestmark = pytest.mark.skipif(not png.png.AVAILABLE, reason='the operators are not built')


def by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), COLOUR)


def encoded(image, **options):
    data = io.BytesIO()
    Image.fromarray(image).save(data, 'PNG', **options)
    return data.getvalue()


@pytest.fixture(scope='module')
def picture(data_dir):
    """A photo (h, w, 3), RGB."""
    path = next((data_dir / 'camvid/images/val').iterdir())
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize('strategy', range(-1, 5))
def test_photos(picture, strategy):
    """Encoders choose filters by strategy; Pillow mixes all of them."""
    flags = [] if strategy < 0 else [cv2.IMWRITE_PNG_STRATEGY, strategy]
    files = [cv2.imencode('.png', picture[..., ::-1], flags)[1].tobytes(), encoded(picture)]
    files.append(encoded(picture[:1, :1]))
    files.append(encoded(picture, dpi=(72, 72)))
    for data in files:
        pixels = png.decode_rgb(data)
        np.testing.assert_array_equal(pixels, by_opencv(data))
        np.testing.assert_array_equal(decode(data, 'x.png'), pixels)


def test_label_maps(data_dir):
    for path in sorted((data_dir / 'camvid/labels/val').iterdir())[:5]:
        indices = png.decode_indices(path.read_bytes())
        np.testing.assert_array_equal(indices, np.asarray(Image.open(path)))
    black = np.zeros((1024, 2048), np.uint8)
    np.testing.assert_array_equal(png.decode_indices(encoded(black, compress_level=9)), black)


def test_palettes_are_read_as_indices():
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(indices)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    assert image.mode == 'P'
    data = io.BytesIO()
    image.save(data, 'PNG')
    assert png.header(data.getvalue()) == (16, 16, 8, png.PALETTE)
    np.testing.assert_array_equal(png.decode_indices(data.getvalue()), indices)


def test_what_is_out_of_the_ordinary_is_left_to_others(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture, exif=exif.tobytes())
    alpha = encoded(np.dstack([picture, picture[..., 0]]))
    deep = cv2.imencode('.png', picture.astype(np.uint16) * 200)[1].tobytes()
    profile = PngImagePlugin.PngInfo()
    profile.add(b'acTL', b'\0' * 8)  # an animation
    animated = encoded(picture, pnginfo=profile)
    clear = encoded(picture, transparency=(1, 2, 3))
    for data in (turned, alpha, deep, animated, clear, b'\xff\xd8jpeg', b''):
        assert png.decode_rgb(data) is None
        assert png.decode_indices(data) is None
    for data in (turned, alpha, deep, clear):
        np.testing.assert_array_equal(decode(data, 'x.png'), by_opencv(data))


def test_damaged_files(picture):
    data = bytearray(encoded(picture[:40, :40]))
    start = data.index(b'IDAT') + 60
    data[start] ^= 255
    assert png.decode_rgb(bytes(data)) is None
    whole = encoded(picture[:40, :40])
    for length in (0, 7, 20, 30, 60, len(whole) - 5):
        assert png.decode_rgb(whole[:length]) is None
    with pytest.raises(DataError, match=r'x\.png: not an image'):
        decode(whole[:60], 'x.png')


def test_a_header_that_promises_too_much():
    """Four gigabytes in a hundred bytes: refused before any memory is asked for."""
    header = (65535).to_bytes(4, 'big') * 2 + b'\x08\x02\0\0\0'
    stream = zlib.compress(b'\0' * 100)
    chunks = ((b'IHDR', header), (b'IDAT', stream), (b'IEND', b''))
    data = png.SIGNATURE + b''.join(
        len(c).to_bytes(4, 'big') + k + c + zlib.crc32(k + c).to_bytes(4, 'big') for k, c in chunks
    )
    assert png.header(data) == (65535, 65535, 8, png.RGB)
    assert png.decode_rgb(data) is None


def test_without_the_package(picture, monkeypatch):
    monkeypatch.setattr(png, 'zlib_decompress', None)
    data = encoded(picture)
    assert png.decode_rgb(data) is None
    np.testing.assert_array_equal(decode(data, 'x.png'), by_opencv(data))
