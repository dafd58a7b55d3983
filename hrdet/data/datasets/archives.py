"""Read images from a .zip or .tar archive without unpacking it."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from hrdet.data.datasets.headers import max_bytes
from hrdet.data.datasets.images import FolderImages, check_name, similar
from hrdet.data.datasets.listing import CACHED_FROM, FileNames, load_listing, save_listing
from hrdet.data.errors import BAD_ARCHIVE, DataError, missing

_LOCAL_HEADER = struct.Struct('<4s22xHH')  # of a zip's member: b'PK\3\4', name and extra length
_NO_CHECKSUM = -1
_FIELDS = ('text', 'ends', 'offsets', 'sizes', 'methods', 'checksums')


def open_store(prefix: str, key: str) -> 'FolderImages | ArchiveImages':
    """The images of the prefix in ``key``: a folder, an archive, or a folder inside an archive."""
    path = Path(prefix)
    if not prefix:
        raise DataError(f'{key}: give the folder, .zip or .tar file of the images')
    # The path itself or one of its parents may be an archive: images.zip/train.
    for archive in (path, *path.parents):
        name = archive.name.lower()
        if name.endswith(('.tgz', '.tar.gz', '.tar.bz2', '.tar.xz')) and archive.is_file():
            raise DataError(
                f'{key}: images cannot be read out of the compressed {archive}; unpack it to a '
                f'folder or to a plain .tar'
            )
        if archive.suffix.lower() in ('.zip', '.tar') and not archive.is_dir():
            inside = path.relative_to(archive).as_posix()
            return ArchiveImages(str(archive), '' if inside == '.' else inside, key)
    return FolderImages(prefix, key)


class ArchiveImages:
    """Members of a .zip or .tar file below the folder ``inside``.

    Its table of contents is read once, into arrays that workers share; a large archive's table is
    cached for the next run.  Every process opens the file for itself.
    """

    def __init__(self, archive: str, inside: str = '', key: str = 'img_prefix'):
        if not Path(archive).is_file():
            raise missing(key, archive, 'archive')
        self.archive, self.inside = archive, inside
        contents = _contents(archive)
        self.members = FileNames.from_arrays(contents['text'], contents['ends'])
        self._places = np.stack([contents[field] for field in _FIELDS[2:]], axis=1)
        self._opened: tuple[int, io.FileIO] | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {'_opened': None}

    def path(self, name: str) -> str:
        """The name of an image in messages and results."""
        return f'{self.archive}/{PurePosixPath(self.inside, name)}'

    def files(self) -> FileNames:
        """All members below ``inside``, as sorted paths relative to it."""
        if not self.inside:
            return self.members
        start = self.inside.rstrip('/') + '/'
        return FileNames(name[len(start) :] for name in self.members if name.startswith(start))

    def folders(self) -> set[str]:
        """The folders directly in ``inside`` that hold a file."""
        return {name.split('/', 1)[0] for name in self.files() if '/' in name}

    def read(self, name: str) -> bytes:
        """The bytes of one member; in a zip they are checked against its checksum."""
        check_name(name, self.path(name))
        member = str(PurePosixPath(self.inside, name))
        index = self.members.position(member)
        if index is None:
            hint = similar(name, self.path, self._has)
            raise DataError(f'{self.archive} has no member {member}{hint}')
        # 1. Read the stored bytes.  Members of a tar are never compressed, those of a zip may be.
        offset, size, method, checksum = self._places[index].tolist()
        file = self._file()
        try:
            if size > max_bytes():
                raise OSError(f'{size:,} bytes are no image that would be decoded')
            if checksum != _NO_CHECKSUM:  # a zip: the data follow a header of its own
                file.seek(offset)
                _, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
                offset += _LOCAL_HEADER.size + name_length + extra_length
            file.seek(offset)
            data = file.read(size)
            # 2. Inflate, up to a bound: a small member can unpack to any size.
            if len(data) == size and method == zipfile.ZIP_DEFLATED:
                unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
                data = unpacking.decompress(data, max_bytes())
                if unpacking.unconsumed_tail:
                    raise OSError(f'it unpacks to more than {max_bytes():,} bytes')
            elif len(data) < size:
                raise OSError('the file is cut off')
            # 3. Compare with the checksum of the unpacked bytes.
            if checksum != _NO_CHECKSUM and zlib.crc32(data) != checksum:
                raise OSError('its checksum is wrong')
        except (OSError, zlib.error, struct.error) as error:
            raise DataError(
                f'{self.archive}: member {member} cannot be read ({error}); fetch the file again'
            ) from error
        return data

    def _has(self, name: str) -> bool:
        return self.members.position(str(PurePosixPath(self.inside, name))) is not None

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of change of the archive."""
        state = os.stat(self.archive)
        return state.st_size, state.st_mtime_ns

    def _file(self) -> io.FileIO:
        # A forked worker must not share the file position of its parent.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), io.FileIO(self.archive))
        return self._opened[1]


def _contents(archive: str) -> dict[str, np.ndarray]:
    """The table of contents: names, sorted; offsets, sizes, methods, checksums (n,) int64."""
    # The cached table of contents is valid while size and modification time are the same.
    path, state = os.path.abspath(archive), os.stat(archive)
    stamp = np.array([state.st_size, state.st_mtime_ns])
    known = load_listing(path)
    if known is not None and np.array_equal(known.get('stamp'), stamp):
        return known
    read = _read_zip if archive.lower().endswith('.zip') else _read_tar
    try:
        # Of members of one name the last counts: archives are changed by adding to them.
        rows = sorted({row[0]: row for row in read(archive)}.values())
        columns = np.array([row[1:] for row in rows], np.int64).reshape(-1, 4).T
        if (columns[:2] < 0).any():
            raise OSError('a place or size below 0')
    except (*BAD_ARCHIVE, tarfile.TarError) as error:
        raise DataError(
            f'{archive}: the archive cannot be read ({error}); fetch the file again'
        ) from error
    names = FileNames(row[0] for row in rows)
    contents = dict(zip(_FIELDS, (names.text, names.ends, *columns)))
    if len(names) >= CACHED_FROM:
        save_listing(path, stamp=stamp, **contents)
    return contents


def _read_zip(archive: str) -> list[tuple[str, int, int, int, int]]:
    rows = []
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if member.is_dir():
                continue
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f'{member.filename} is neither stored nor deflated')
            if member.flag_bits & 1:
                raise zipfile.BadZipFile(f'{member.filename} is encrypted: unpack the archive')
            place = (member.header_offset, member.compress_size, member.compress_type, member.CRC)
            rows.append((member.filename.lstrip('/'), *place))
    return rows


def _read_tar(archive: str) -> list[tuple[str, int, int, int, int]]:
    with tarfile.open(archive, 'r:') as file:
        return [
            (str(PurePosixPath(member.name)), member.offset_data, member.size, 0, _NO_CHECKSUM)
            for member in file
            if member.isreg()
        ]
