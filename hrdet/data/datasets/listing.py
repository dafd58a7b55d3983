"""Lists of many file names: compact in memory, and cached between runs."""

import hashlib
import logging
import os
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hrdet.data.errors import DataError

_logger = logging.getLogger('hrdet')
_UTF8 = ('utf-8', 'surrogatepass')  # any str and back, whatever the locale
CACHED_FROM = 20_000  # files; fewer are listed quickly enough


class FileNames(Sequence):
    """A sequence of str in two arrays.

    A list of a million str takes 100 MB, of which every data loader worker would get a copy as it
    counts references; arrays stay shared.
    """

    def __init__(self, names: Iterable[str] = ()):
        encoded = [name.encode(*_UTF8) for name in names]
        self.ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self.text = np.frombuffer(b''.join(encoded), np.uint8)

    @classmethod
    def from_arrays(cls, text: np.ndarray, ends: np.ndarray) -> 'FileNames':
        """The names whose bytes ``text`` holds; ``ends`` (n,) are their ends in it."""
        names = cls()
        names.text, names.ends = text, ends
        return names

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return FileNames(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f'name {index} of {len(self)}')
        index %= len(self)
        # Name i lies between the ends of names i - 1 and i.
        start = self.ends[index - 1] if index else 0
        return self.text[start : self.ends[index]].tobytes().decode(*_UTF8)

    def __iter__(self) -> Iterator[str]:
        text, start = self.text.tobytes(), 0
        for end in self.ends.tolist():
            yield text[start:end].decode(*_UTF8)
            start = end

    def position(self, name: str) -> int | None:
        """Where a name is in sorted names; None: nowhere."""
        index = bisect_left(self, name)
        return index if index < len(self) and self[index] == name else None


def list_folder(folder: str | os.PathLike) -> FileNames:
    """All files below a folder, as sorted paths relative to it with ``/``; hidden ones left out.

    The listing of a large folder is kept in the cache (``cache_folder``).  It is used again while
    no folder's time of change differs: files that are added, renamed or removed change it.
    """
    # 1. The cached listing, if no folder has changed: asking each folder for its time is much
    #    faster than listing all files.
    root = os.path.abspath(folder)
    known = load_listing(root)
    if known is not None:
        folders = FileNames.from_arrays(known['folder_text'], known['folder_ends'])
        times = [_changed(os.path.join(root, name)) for name in folders]
        if np.array_equal(times, known['times']):
            return FileNames.from_arrays(known['text'], known['ends'])
    # 2. Else list the files, and cache a long listing.
    names, folders, times = _walk(root)
    files = FileNames(sorted(names))
    if len(files) >= CACHED_FROM:
        tree = FileNames(folders)
        save_listing(
            root,
            text=files.text,
            ends=files.ends,
            folder_text=tree.text,
            folder_ends=tree.ends,
            times=np.array(times),
        )
    return files


def _walk(root: str) -> tuple[list[str], list[str], list[int]]:
    """The files below ``root``, its folders with itself as '', and when each of them changed."""
    names, folders, times = [], [''], []
    above: list[frozenset] = [frozenset()]  # identities of the folders that each one lies in
    for folder, parents in zip(folders, above):  # both grow
        path = os.path.join(root, folder)
        state = os.stat(path)
        itself = state.st_dev, state.st_ino
        if itself in parents:
            raise DataError(f'{path}: a link to a folder that it lies in; remove it')
        times.append(state.st_mtime_ns)
        start = f'{folder}/' if folder else ''
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith('.'):
                    continue
                if entry.is_dir():
                    folders.append(start + entry.name)
                    above.append(parents | {itself})
                else:
                    names.append(start + entry.name)
    return names, folders, times


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def cache_folder() -> Path:
    """``$HRDET_CACHE``, else ``$XDG_CACHE_HOME/hrdet``, else ``~/.cache/hrdet``."""
    chosen = os.environ.get('HRDET_CACHE')
    if chosen:
        return Path(chosen)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'hrdet')


def load_listing(path: str) -> dict[str, np.ndarray] | None:
    """The arrays that ``save_listing`` cached for a folder or archive, or None."""
    try:
        with np.load(_listing_file(path), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def save_listing(path: str, **arrays: np.ndarray) -> None:
    """Cache arrays about a folder or archive; a cache that cannot be written is no error."""
    file = _listing_file(path)
    part = file.with_suffix(f'.{os.getpid()}.npz')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(part, **arrays)
        part.replace(file)
    except OSError as error:
        _logger.debug('the listing of %s is not kept: %s', path, error)


def _listing_file(path: str) -> Path:
    return cache_folder() / 'listings' / (hashlib.sha1(os.fsencode(path)).hexdigest() + '.npz')
