"""Images that two data sets share: what is learned cannot show what was learned."""

import os
from pathlib import Path

from hrdet.data.datasets.base import ImageDataset

_COMPARED = 500  # pairs of files of one name, whose bytes are compared


def shared_images(train_set: ImageDataset, val_set: ImageDataset) -> list[str]:
    """The images of ``val_set`` that are among those of ``train_set``.

    They are the same file, or files of the same name and bytes.
    """
    trained = {os.path.abspath(path) for path in _paths(train_set)}
    by_name = {os.path.basename(path): path for path in trained}
    shared, compared = [], 0
    for path in sorted({os.path.abspath(path) for path in _paths(val_set)}):
        other = by_name.get(os.path.basename(path))
        if path in trained:
            shared.append(path)
        elif other is not None and compared < _COMPARED:
            compared += 1
            if _same_bytes(path, other):
                shared.append(path)
    return shared


def _paths(dataset: ImageDataset) -> list[str]:
    """The files of the images, of all parts of a data set; none of images from elsewhere."""
    parts = dataset.parts()
    return [p.path(i) for p in parts for i in range(len(p)) if p.file(i) is not None]


def _same_bytes(path: str, other: str) -> bool:
    try:
        if os.path.getsize(path) != os.path.getsize(other):
            return False
        return Path(path).read_bytes() == Path(other).read_bytes()
    except OSError:  # members of archives
        return False
