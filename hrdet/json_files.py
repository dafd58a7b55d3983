"""Files of users: pipes refused, large JSON read fast, the garbage collector paused meanwhile."""

import contextlib
import errno
import gc
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

try:
    import orjson
except ImportError:  # json reads the same, in twice the time
    orjson = None


@contextlib.contextmanager
def open_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Within the block a file is open to read its bytes.

    Raises:
        OSError: it cannot be opened, or is a pipe or device, which may never end.
    """
    with open(path, 'rb', opener=_open) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, 'a pipe or device, not a file', os.fspath(path))
        yield file


def read_bytes(path: str | os.PathLike) -> bytes:
    """The bytes of a file; errors as of ``open_file``."""
    with open_file(path) as file:
        return file.read()


def _open(path: str, flags: int) -> int:
    # Opening a pipe would wait for its writer.
    return os.open(path, flags | getattr(os, 'O_NONBLOCK', 0))


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """For code that makes millions of objects and no garbage; also a decorator.

    The collector would walk over all of them again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@collector_paused()
def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file, as ``json.load`` returns it (integers beyond 64 bits as floats).

    Raises:
        OSError: the file cannot be read.
        ValueError, RecursionError: it is not JSON.
    """
    data = read_bytes(path)
    if orjson is not None:
        # orjson refuses what json adds to the standard: NaN, Infinity, lone surrogates, UTF-16.
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(data)
    return json.loads(data)
