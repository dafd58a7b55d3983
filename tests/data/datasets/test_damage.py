"""Images that are damaged without a decoder's error."""

import os

import cv2
import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.data.datasets.damage import native_messages
from hrdet.data.inputs import read_image

PIXELS = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8), (160, 120))


def test_a_jpeg_whose_pixels_are_made_up_is_refused(tmp_path, capfd):
    data = cv2.imencode('.jpg', PIXELS)[1].tobytes()
    assert read_image(data).shape == (120, 160, 3)
    half = data[: len(data) // 2] + b'\xff\xd9'  # with an end marker
    (tmp_path / 'half.jpg').write_bytes(half)
    with pytest.raises(DataError, match=r'half\.jpg: the JPEG is damaged .*premature end'):
        read_image(tmp_path / 'half.jpg')
    with pytest.raises(DataError, match='the bytes of an image: the JPEG is damaged'):
        read_image(half)
    assert capfd.readouterr().err == ''


def test_a_dark_image_of_16_bits_is_refused():
    bright = cv2.imencode('.png', PIXELS.astype(np.uint16) * 257)[1].tobytes()
    assert np.array_equal(read_image(bright), PIXELS)
    dark = cv2.imencode('.png', PIXELS.astype(np.uint16) * 15)[1].tobytes()
    with pytest.raises(DataError, match=r'nearly black\. Scale the files to 8 bits'):
        read_image(dark)


def test_lines_of_others_are_passed_on(capfd):
    with native_messages() as messages:
        os.write(2, b'Corrupt JPEG data: bad Huffman code\nof another thread\n')
    assert messages == ['Corrupt JPEG data: bad Huffman code']
    os.write(2, b'later')
    assert capfd.readouterr().err == 'of another thread\nlater'
