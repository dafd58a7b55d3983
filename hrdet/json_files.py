"""JSON files: large ones read fast, and the garbage collector paused over many objects."""

import contextlib
import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import orjson
except ImportError:  # json reads the same, in twice the time
    orjson = None


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
    data = Path(path).read_bytes()
    if orjson is not None:
        # orjson refuses what json adds to the standard: NaN, Infinity, lone surrogates, UTF-16.
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(data)
    return json.loads(data)
