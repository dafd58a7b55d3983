"""Decode ordinary PNG files of photos and label maps, twice as fast as libpng with zlib.

libdeflate inflates the data (where the package ``deflate`` is installed), and an operator of hrdet
undoes the row filters.  OpenCV or Pillow decode all other files.
"""

from typing import NamedTuple

import cv2
import numpy as np

from hrdet.ops import png

try:
    from deflate import DeflateError, zlib_decompress
except ImportError:  # then OpenCV decodes
    zlib_decompress = None

SIGNATURE = b'\x89PNG\r\n\x1a\n'
GREY, RGB, PALETTE = 0, 2, 3  # kinds of colour
# Chunks that do not change how OpenCV or Pillow read the pixels.  Not among them: eXIf, which may
# turn an image, and tRNS, which adds a channel.
_HARMLESS = frozenset(
    (b'IHDR', b'PLTE', b'IDAT', b'IEND', b'pHYs', b'tEXt', b'iTXt', b'zTXt', b'tIME', b'sBIT')
    + (b'bKGD', b'hIST', b'gAMA', b'cHRM', b'sRGB', b'iCCP', b'sPLT')
)


class Header(NamedTuple):
    """The fields of a PNG header."""

    height: int
    width: int
    depth: int  # bits of one sample
    colour: int  # kind


def header(data: bytes) -> Header | None:
    """The header of a PNG; None: something else, or interlaced."""
    if not data.startswith(SIGNATURE) or data[12:16] != b'IHDR' or data[26:29] != b'\0\0\0':
        return None
    width, height = (int.from_bytes(data[i : i + 4], 'big') for i in (16, 20))
    return Header(height, width, data[24], data[25])


def decode_rgb(data: bytes) -> np.ndarray | None:
    """The pixels (h, w, 3) uint8 BGR of an ordinary RGB file; None: it is another one."""
    info = header(data)
    if info is None or info.depth != 8 or info.colour != RGB:
        return None
    pixels = _pixels(data, info, 3)
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


def decode_indices(data: bytes) -> np.ndarray | None:
    """The bytes (h, w) uint8 of an ordinary grey or palette file; None: it is another one."""
    info = header(data)
    if info is None or info.depth != 8 or info.colour not in (GREY, PALETTE):
        return None
    pixels = _pixels(data, info, 1)
    return None if pixels is None else pixels[..., 0]


def _pixels(data: bytes, info: Header, channels: int) -> np.ndarray | None:
    """(h, w, channels) uint8; None where the file is not ordinary, or damaged."""
    if zlib_decompress is None or not png.AVAILABLE:
        return None
    stream = _image_data(data)
    length = info.height * (1 + info.width * channels)
    if stream is None or not 0 < length <= 1040 * len(stream):  # deflate packs no tighter
        return None
    try:
        rows = zlib_decompress(stream, length)
        return png.png_unfilter(rows, (info.height, info.width), channels)
    except (DeflateError, RuntimeError):  # OpenCV then reports what is wrong with the file
        return None


def _image_data(data: bytes) -> bytes | None:
    """The compressed rows; None where a chunk may change their meaning, or the file is cut off."""
    view, parts, start = memoryview(data), [], len(SIGNATURE)
    while start + 12 <= len(data):
        # Each chunk: length of the data, type, data, CRC-32 (12 bytes besides the data).
        length, kind = int.from_bytes(view[start : start + 4], 'big'), data[start + 4 : start + 8]
        if kind not in _HARMLESS or start + 12 + length > len(data):
            return None
        if kind == b'IDAT':
            parts.append(view[start + 8 : start + 8 + length])
        if kind == b'IEND':
            return b''.join(parts)
        start += 12 + length
    return None
