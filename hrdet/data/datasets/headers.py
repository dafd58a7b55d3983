"""Read size, bit depth and orientation of an image file without decoding its pixels."""

import io
import os
import warnings
from typing import Any, NamedTuple

import numpy as np

from hrdet.data.datasets import png
from hrdet.data.errors import DataError

MAX_PIXELS = 1 << 28  # of one image, 16,384 squared: 0.8 GB; $HRDET_MAX_PIXELS raises or lowers it
_JPEG_START = b'\xff\xd8'
# Markers of frame headers (SOF0 to SOF15 without DHT, JPG and DAC), which hold the size.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_ORIENTATION = 0x112
_KIND_OF_PAGE, _SMALLER, _MASK = 254, 1, 4  # the TIFF tag NewSubfileType, and two of its bits
_PAGES = 32  # of a TIFF file that are looked at
_BITS = {'I;16': 16, 'I;16L': 16, 'I;16B': 16, 'I': 32, 'F': 32}  # of Pillow's modes; else 8


class ImageHeader(NamedTuple):
    """What is known of an image file before its pixels are decoded."""

    height: int
    width: int
    bits: int = 8  # of one sample
    orientation: int = 1  # of EXIF; 1: as it should be shown
    more_frames: bool = False  # pages or frames follow the first, which alone is decoded
    mode: str = ''  # Pillow's, of files that Pillow had to open


def read_header(data: bytes) -> ImageHeader | None:
    """The header of an encoded image; None for an unknown format."""
    if data.startswith(_JPEG_START):
        return _jpeg(data)
    info = png.header(data)
    if info is not None and b'eXIf' not in data:
        # The chunk acTL of an animation comes before the pixels.
        animated = data.find(b'acTL', 0, data.find(b'IDAT')) > 0
        return ImageHeader(info.height, info.width, info.depth, more_frames=animated)
    return _by_pillow(data)


def check_header(header: ImageHeader | None, origin: str) -> None:
    """Raise an error for an image that is not decoded, or not to the right colours.

    Raises:
        DataError: more pixels than the limit, or colours in CIELAB; it names the file.
    """
    if header is None:
        return
    if header.mode == 'LAB':
        raise DataError(
            f'{origin}: its colours are in CIELAB, which decoders turn into different RGB: save '
            f'the file in RGB'
        )
    if header.height * header.width > max_pixels():
        raise DataError(
            f'{origin}: an image of {header.width} x {header.height} pixels; more than '
            f'{max_pixels():,} are refused, because a small file can claim any size. Cut it into '
            f'tiles, or raise the bound with the environment variable HRDET_MAX_PIXELS (above 2^30 '
            f'OPENCV_IO_MAX_IMAGE_PIXELS too)'
        )


def max_pixels() -> int:
    """The largest number of pixels of one image that is decoded.

    Raises:
        DataError: ``$HRDET_MAX_PIXELS`` is no number.
    """
    text = os.environ.get('HRDET_MAX_PIXELS', '')
    if text and not text.isdecimal():
        raise DataError(f'HRDET_MAX_PIXELS={text!r} is not a number of pixels')
    return int(text) if text else MAX_PIXELS


def max_bytes() -> int:
    """The largest file, or member of an archive after unpacking, that is read as an image."""
    return 8 * max_pixels()  # uncompressed samples of 16 bits, in four channels


def decode_rgba_tiff(data: bytes, header: ImageHeader | None, origin: str) -> np.ndarray | None:
    """The colours (h, w, 3) uint8 BGR of a TIFF file with alpha; None: another file.

    OpenCV multiplies them by alpha, in no other format.
    """
    if header is None or header.mode != 'RGBA' or data[:2] not in (b'II', b'MM'):
        return None
    if header.orientation != 1:  # Pillow turns some of these files itself
        raise DataError(f'{origin}: a TIFF file with alpha that is stored turned: save it upright')
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.ascontiguousarray(np.asarray(picture)[..., 2::-1])
    except Exception as error:  # Pillow's readers raise any error
        raise DataError(f'{origin}: not a TIFF file that can be read ({error})') from error


def _jpeg(data: bytes) -> ImageHeader | None:
    """Size and bits from the frame header, orientation from the segment before it."""
    at, orientation = 2, 1
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        # Each segment: 0xFF, a marker, two bytes of length (these included), the content.
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], 'big')
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[at + i : at + i + 2], 'big') for i in (5, 7))
            return ImageHeader(height, width, data[at + 4], orientation)
        if marker == 0xE1 and data[at + 4 : at + 10] == b'Exif\0\0':
            orientation = _exif(data[at + 10 : at + 2 + length])
        at += 2 + length
    return None


def _exif(block: bytes) -> int:
    """The orientation in a block of EXIF data, which is a TIFF file; 1 where it says nothing."""
    order = {b'II': 'little', b'MM': 'big'}.get(block[:2])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(block[at : at + size], order)

    # The first directory: a count, then entries of 12 bytes: tag, type, count, value.
    start = number(4, 4)
    for entry in range(start + 2, start + 2 + 12 * min(number(start, 2), 1000), 12):
        if number(entry, 2) == _ORIENTATION:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def _by_pillow(data: bytes) -> ImageHeader | None:
    from PIL import Image  # slow to import, and seldom needed

    # Pillow's own limit warns of images that hrdet's limit allows.
    bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # hrdet's own is checked instead
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as picture:
            warnings.simplefilter('ignore')
            width, height = picture.size
            bits = 16 if png.header(data) and data[24] == 16 else _BITS.get(picture.mode, 8)
            orientation = _orientation(picture)
            return ImageHeader(
                height, width, bits, orientation, _more_frames(picture), picture.mode
            )
    except Exception:  # Pillow's readers raise any error; OpenCV's own limit still applies
        return None
    finally:
        Image.MAX_IMAGE_PIXELS = bound


# Neither of these may raise: the size of an image is checked whatever else is damaged.
def _orientation(picture: Any) -> int:
    """That of EXIF; 1 where it says nothing, or nonsense."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if type(value) is int and 1 <= value <= 8 else 1


def _more_frames(picture: Any) -> bool:
    """Whether frames or pages follow the first of Pillow's picture that show something else.

    Smaller copies and masks of the first page, which maps and slides have, do not count.
    """
    if not getattr(picture, 'is_animated', False):
        return False
    try:
        for page in range(1, _PAGES if picture.format == 'TIFF' else 1):
            picture.seek(page)
            if not picture.tag_v2.get(_KIND_OF_PAGE, 0) & (_SMALLER | _MASK):
                return True
    except EOFError:  # no further page
        return False
    except Exception:  # a damaged page
        return True
    return True
