"""Damage in images that decoders report on standard error only, or not at all."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np

from hrdet.data.datasets.headers import read_header
from hrdet.data.datasets.images import COLOUR, decode
from hrdet.data.errors import DataError, Problem, raise_or_warn

_TWELVE_BITS = 4096  # a 16-bit file without larger values has 12 bits or fewer
# What libjpeg says of files whose pixels are right.
_HARMLESS = 'extraneous bytes'
FIRST_ONLY = 'only the first is read; save each that counts as a file of its own'
_one_at_a_time = threading.RLock()


def decode_sound(data: bytes, origin: str, flags: int = COLOUR) -> np.ndarray:
    """The pixels of an encoded image that is whole; ``origin`` names it in errors.

    Raises:
        DataError: as ``decode``; also a JPEG whose pixels are partly made up, and samples of more
            than 8 bits that would be nearly black.  Frames after the first are a ``DataWarning``.
    """
    if not data.startswith(b'\xff\xd8'):
        image = decode(data, origin, flags)
        header = read_header(data)
        if header is not None and header.bits > 8:
            check_depth(data, origin)
        if header is not None and header.more_frames:
            raise_or_warn([Problem(origin, '', f'several frames or pages: {FIRST_ONLY}', False)])
        return image
    with native_messages() as messages:
        image = decode(data, origin, flags)
    damage = jpeg_damage(messages)
    if damage:
        raise DataError(f'{origin}: {damage}')
    return image


def check_depth(data: bytes, origin: str) -> None:
    """Raise an error for images that would be nearly black after the reduction to 8 bits."""
    largest = decode(data, origin, COLOUR | 2).max(initial=0)  # 2: IMREAD_ANYDEPTH
    if largest < _TWELVE_BITS:
        raise DataError(
            f'{origin}: its samples reach {largest:g}, in a file of 16 bits or more: reduced to 8 '
            f'bits they would be below {_TWELVE_BITS >> 8}, nearly black. Scale the files to 8 bits'
        )


def jpeg_damage(messages: list[str]) -> str:
    """What libjpeg said about missing pixels, as a reason; '' if it said nothing."""
    damage = [line for line in messages if 'JPEG' in line and _HARMLESS not in line]
    return f'the JPEG is damaged ({damage[0]}); fetch it again' if damage else ''


def _scratch_file() -> IO[bytes]:
    # A file in memory takes a tenth of the time.
    if hasattr(os, 'memfd_create'):
        return os.fdopen(os.memfd_create('messages'), 'w+b')
    return tempfile.TemporaryFile()


@contextmanager
def native_messages() -> Iterator[list[str]]:
    """Capture what libjpeg writes to this process's standard error (file descriptor 2).

    It reports damage only there, and fills the missing pixels.  Lines of others, perhaps written
    by another thread, are passed on afterwards.
    """
    lines: list[str] = []
    with _one_at_a_time, _scratch_file() as file:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            if file.seek(0, os.SEEK_END):
                file.seek(0)
                text = file.read().decode(errors='replace').splitlines()
                lines += [line for line in text if 'JPEG' in line]
                others = [line for line in text if 'JPEG' not in line]
                os.write(2, ''.join(f'{line}\n' for line in others).encode())
