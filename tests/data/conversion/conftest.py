"""Small made-up downloads."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest


class Download:
    """A folder of raw files, and what a conversion makes of it."""

    def __init__(self, root: Path):
        self.raw, self.out = root / 'raw', root / 'out'
        self.raw.mkdir()

    def write(self, name, content):
        """An image (an array, BGR), or text or bytes."""
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            assert cv2.imwrite(str(path), content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def pack(self, archive, *folders):
        """Move folders into a zip archive."""
        with zipfile.ZipFile(self.raw / archive, 'w') as file:
            for folder in folders:
                for path in sorted((self.raw / folder).rglob('*')):
                    if path.is_file():
                        file.write(path, path.relative_to(self.raw))
                        path.unlink()

    def made(self):
        """All files of the output, by path."""
        files = (path for path in self.out.rglob('*') if path.is_file())
        return sorted(path.relative_to(self.out).as_posix() for path in files)

    def read(self, name):
        return cv2.imread(str(self.out / name), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def download(tmp_path):
    return Download(tmp_path)


@pytest.fixture
def photo():
    """``photo(h, w)``: an image of noise."""
    rng = np.random.default_rng(0)
    return lambda h, w: rng.integers(0, 256, (h, w, 3), np.uint8)
