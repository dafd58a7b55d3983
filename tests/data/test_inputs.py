"""Whatever holds an image becomes the same pixels."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from hrdet.data import DataError
from hrdet.data.inputs import image_files, is_one_image, names_several, read_image
from tests.file_server import FileServer

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)  # BGR
RGB = PIXELS[..., ::-1].copy()
GREY = PIXELS[..., 0].copy()
PNG = cv2.imencode('.png', PIXELS)[1].tobytes()
TENSOR = torch.from_numpy(RGB).permute(2, 0, 1)


@pytest.fixture
def server():
    server = FileServer()
    yield server
    server.close()


@pytest.mark.parametrize(
    'image',
    [
        PNG,
        bytearray(PNG),
        io.BytesIO(PNG),
        PIL.Image.fromarray(RGB),
        PIL.Image.fromarray(RGB).convert('RGBA'),
        PIXELS,
        np.dstack([PIXELS, GREY]),
        PIXELS.astype(np.uint16) * 256 + 255,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        TENSOR,
        TENSOR / 255,
        torch.cat([TENSOR, TENSOR[:1]]),
        (TENSOR / 255).double().requires_grad_(),
    ],
    ids=lambda image: type(image).__name__,
)
def test_colour(image):
    assert is_one_image(image)
    found = read_image(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize(
    'image',
    [
        GREY,
        GREY[..., None],
        GREY / 255,
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
        PIL.Image.fromarray(GREY),
        PIL.Image.fromarray(GREY.astype(np.uint16) * 257),
        PIL.Image.fromarray((GREY / 255).astype(np.float32)),
    ],
    ids=lambda image: type(image).__name__,
)
def test_grey(image):
    np.testing.assert_array_equal(read_image(image), np.repeat(GREY[..., None], 3, axis=2))


def test_bfloat16():
    """Its 8 bits of precision give each value to one part in 256."""
    found = read_image((TENSOR / 255).bfloat16())
    np.testing.assert_allclose(found.astype(int), PIXELS.astype(int), atol=1)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((3, 9, 9), np.uint8), r'transpose\(1, 2, 0\)'),
        (torch.zeros(9, 8, 3), r'permute\(2, 0, 1\)'),
        (np.zeros((2, 9, 9, 3), np.uint8), 'is a list of them'),
        (np.zeros((0, 9, 3), np.uint8), r'not \(0, 9, 3\)'),
        (np.zeros((9, 9, 2), np.uint8), r'not \(9, 9, 2\)'),
        (np.zeros((9, 9, 3), np.int64), r'not int64; image.astype\(np.uint8\)'),
        (np.full((9, 9, 3), 255.0), r'from 255 to 255; .*astype\(np.uint8\)'),
        (np.full((9, 9, 3), np.nan), 'from 0 to 1, not from nan to nan'),
        (np.full((9, 9, 3), -0.5), 'from 0 to 1, not from -0.5'),
        (io.StringIO('text'), "open an image with mode 'rb'"),
        (b'text', 'bytes of an image: not an image'),
        (None, 'cv2.imread returns'),
        ({}, 'not dict'),
        ('street.MP4', 'street.MP4: a video, not an image; hrdet infer takes videos'),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises((TypeError, ValueError), match=message):
        read_image(image)


def test_addresses(server, monkeypatch):
    server.files['/a b.png'] = server.files['/a.png'] = PNG
    server.files['/page.png'] = b'<html>'
    assert is_one_image(f'{server.url}/a.png?size=[1]')
    np.testing.assert_array_equal(read_image(f'{server.url}/a.png'), PIXELS)
    with pytest.raises(DataError, match=r'http://.*/gone\.png: Not Found'):
        read_image(f'{server.url}/gone.png')
    with pytest.raises(DataError, match=r'http://.*/page\.png: not an image'):
        read_image(f'{server.url}/page.png')
    with pytest.raises(DataError, match='addresses begin with http'):
        read_image('ftp://host/a.png')
    monkeypatch.setenv('HRDET_MAX_PIXELS', '2')
    with pytest.raises(DataError, match='more than 16 bytes'):
        read_image(f'{server.url}/a.png')
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    with pytest.raises(DataError, match='HRDET_OFFLINE is set'):
        read_image(f'{server.url}/a.png')


def test_folders_and_patterns(tmp_path):
    for name in ('b.PNG', 'deep/a.jpg', 'deep/er/c.webp', 'notes.txt', 'x[1].png'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)

    def names(what):
        return [path.relative_to(tmp_path).as_posix() for path in image_files(what)]

    assert names(tmp_path) == ['b.PNG', 'deep/a.jpg', 'deep/er/c.webp', 'x[1].png']
    assert names(tmp_path / '**/*.jpg') == ['deep/a.jpg']
    assert names(tmp_path / 'deep' / '*') == ['deep/a.jpg']
    assert names_several(tmp_path)
    assert names_several(str(tmp_path / '*.png'))
    assert not names_several(tmp_path / 'x[1].png')  # a file of that name
    assert not names_several(tmp_path / 'gone.png')


def test_several_images():
    for images in ([PNG], iter([PNG]), np.zeros((2, 9, 9, 3)), torch.zeros(2, 3, 9, 9)):
        assert not is_one_image(images)
