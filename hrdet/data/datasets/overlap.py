"""Images that two data sets share: what is learned cannot show what was learned."""

import os
from collections import defaultdict
from functools import cache

from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.inspection import digest
from hrdet.json_files import read_bytes

_NO_SIZE = -1  # of members of archives, which are not compared
_COMPARED = 500  # pairs of files of one name, whose bytes are compared


def shared_images(
    train_set: ImageDataset, val_set: ImageDataset, any_name: bool = False
) -> list[str]:
    """The images of ``val_set`` that are among those of ``train_set``.

    They are the same file, or files of the same name and bytes: the first few hundred of one name
    are compared.  With ``any_name`` all files of the same size are, which takes longer.
    """
    trained = {os.path.abspath(path) for path in _paths(train_set)}
    key = _size if any_name else os.path.basename
    similar = defaultdict(list)
    for path in trained:
        similar[key(path)].append(path)
    similar.pop(_NO_SIZE, None)
    # Each file is read once: of images without compression all have one size.
    content = cache(_digest)
    contents = cache(lambda size: {content(path) for path in similar[size]})
    shared, compared = [], 0
    for path in sorted({os.path.abspath(path) for path in _paths(val_set)}):
        others = [] if path in trained else similar.get(key(path), [])
        if any_name:
            found = bool(others) and content(path) in contents(key(path))
        else:
            others = [
                other for other in others[: _COMPARED - compared] if _size(other) == _size(path)
            ]
            compared += len(others)
            found = any(content(path) == content(other) for other in others)
        if path in trained or found:
            shared.append(path)
    return shared


def _size(path: str) -> int:
    """Bytes of a file."""
    try:
        return os.path.getsize(path)
    except OSError:
        return _NO_SIZE


def _paths(dataset: ImageDataset) -> list[str]:
    """The files of the images, of all parts of a data set; none of images from elsewhere."""
    parts = dataset.parts()
    return [p.path(i) for p in parts for i in range(len(p)) if p.file(i) is not None]


def _digest(path: str) -> str:
    """Of the bytes of a file; its name where it cannot be read, as a member of an archive."""
    try:
        return digest(read_bytes(path))
    except OSError:
        return path
