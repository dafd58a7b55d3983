"""Files of a download: in folders, or in zip archives that are read in place."""

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from hrdet.data import DataError
from hrdet.data.conversion.plan import write_file
from hrdet.data.datasets.images import decode
from hrdet.data.errors import BAD_ARCHIVE
from hrdet.json_files import read_bytes


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file, or one member of an archive."""

    root: Path  # the download
    path: Path  # the file, or its archive
    member: str = ''

    @property
    def name(self) -> str:
        """The last part of its path."""
        return (self.path / self.member).name

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders it is in, from the root of the download; an archive counts as one."""
        return (self.path.relative_to(self.root) / self.member).parts[:-1]

    def __str__(self) -> str:
        return str(self.path / self.member)

    def read(self) -> bytes:
        """Its content."""
        try:
            if self.member:
                return _archive(self.path).read(self.member)
            return read_bytes(self.path)
        except OSError as error:
            raise DataError(f'{self}: {error.strerror}') from error
        except Exception as error:  # the errors of zipfile's decompressors have no common base
            raise DataError(f'{self}: cannot be read ({error}); fetch the archive again') from error

    def image(self, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
        """Its pixels, (h, w, 3) BGR or as ``flags`` of ``cv2.imdecode`` say."""
        return decode(self.read(), str(self), flags)

    def label_map(self) -> np.ndarray:
        """Its values (h, w) uint8."""
        label = self.image(cv2.IMREAD_UNCHANGED)
        if label.ndim != 2 or label.dtype != np.uint8:
            shape = 'x'.join(map(str, label.shape))
            raise DataError(f'{self}: {shape} {label.dtype}; a label map has one byte a pixel')
        return label

    def place(self, path: Path) -> None:
        """Put it at ``path``: a hard link where the file system has them, else a copy."""
        if not self.member:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return os.link(self.path, path)
            except OSError:  # another file system, or none with links
                pass
        write_file(path, self.read())


def find_files(raw: Path, wanted: Callable[[RawFile], bool]) -> list[RawFile]:
    """All files below a download for which ``wanted`` is true, sorted by path."""
    if not raw.is_dir():
        raise DataError(f'RAW: there is no folder {raw}')
    _archive.cache_clear()
    return sorted(filter(wanted, _all_files(raw)), key=str)


def _all_files(raw: Path) -> Iterator[RawFile]:
    for folder, _, names in os.walk(raw):
        for path in (Path(folder, name) for name in names):
            members = _archive(path).namelist() if path.suffix.lower() == '.zip' else []
            for member in ('', *(m for m in members if not m.endswith('/'))):
                file = RawFile(raw, path, member)
                if not file.name.startswith('._'):  # what macOS leaves beside a file
                    yield file


@lru_cache(maxsize=8)
def _archive(path: Path) -> zipfile.ZipFile:
    """An archive, kept open; each process has its own."""
    try:
        return zipfile.ZipFile(path)
    except BAD_ARCHIVE as error:
        raise DataError(f'{path}: not a readable zip archive ({error}); fetch it again') from error
