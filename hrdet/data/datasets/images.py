"""Stores of image files: a folder, or a zip archive that is read without unpacking."""

import os
import posixpath
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

import cv2
import numpy as np

from hrdet.data.datasets import png
from hrdet.data.datasets.headers import check_header, decode_rgba_tiff, max_bytes, read_header
from hrdet.data.datasets.listing import FileNames, list_folder
from hrdet.data.errors import BAD_ARCHIVE, DataError, missing
from hrdet.json_files import open_file

# COCO's annotations refer to the pixels as stored, so an EXIF rotation is not applied.
COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
UPRIGHT = cv2.IMREAD_COLOR  # an EXIF rotation is applied
_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'


def image_store(prefix: str, key: str = 'img_prefix') -> 'FolderImages | ZipImages':
    """The store for the prefix in ``key``: a folder, a .zip file, or a folder inside one."""
    path = Path(prefix)
    for archive in (path, *path.parents):
        if archive.suffix.lower() == '.zip' and not archive.is_dir():
            inside = path.relative_to(archive).as_posix()
            return ZipImages(str(archive), '' if inside == '.' else inside, key)
    return FolderImages(prefix, key)


def decode(data: bytes, origin: str, flags: int = COLOUR) -> np.ndarray:
    """The pixels of an encoded image; ``origin`` names it in errors.

    A JPEG without its end marker is an error: OpenCV would fill the missing part with grey.

    Raises:
        DataError: not an image, cut off, or refused by ``check_header``.
    """
    # 1. Checks that need no decoding: the number of pixels, and the end marker of a JPEG, which is
    #    in the last bytes.
    header = read_header(data)
    check_header(header, origin)
    if data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < 0:
        raise DataError(f'{origin}: the JPEG is cut off after {len(data)} bytes; fetch it again')
    # 2. Ordinary RGB PNGs by hrdet's decoder, everything else by OpenCV.
    image = None
    if flags in (COLOUR, UPRIGHT):
        image = png.decode_rgb(data)
        image = decode_rgba_tiff(data, header, origin) if image is None else image
    reason = ''
    if image is None and data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:  # such as its own bounds of 2^30 pixels and 2^20 a side
            reason = f': {error.err}'
    if image is None:
        if header is not None:
            reason = f', {header.width} x {header.height} with {header.bits} bits{reason}'
        raise DataError(f'{origin}: not an image OpenCV can read ({len(data)} bytes{reason})')
    return image


def check_name(name: str, path: str) -> None:
    """Raise an error for a file name that leads out of the folder or archive of its data set.

    Raises:
        DataError: an absolute path, or one that climbs out with ``..``.
    """
    # Annotation files are data from outside: a name must not make hrdet read any other file.
    climbs = posixpath.normpath(name.replace('\\', '/')).split('/')[0] == '..'
    if '\0' in name:
        raise DataError(f'{path!r}: the file name {name!r} has a zero byte: the list is damaged')
    if climbs or os.path.isabs(name) or PureWindowsPath(name).drive:
        raise DataError(
            f'{path}: the file name {name!r} leaves the folder of the images. Names in annotation '
            f'files are relative to it: give a folder above the files as img_prefix (or img_dir, '
            f'data_prefix), and write the names from there'
        )


def similar(name: str, path: Callable[[str], str], exists: Callable[[str], bool]) -> str:
    """A hint if a missing file exists under a name that labelling tools write differently."""
    plain = unquote(name).replace('\\', '/')
    # Without leading folders: some tools write the folder of the images into each name.
    parts = plain.split('/')
    for start in range(len(parts)):
        other = '/'.join(parts[start:])
        if other != name and exists(other):
            cause = 'the name repeats the folder' if start else 'backslashes or %-codes'
            return (
                f'; there is {path(other)} ({cause}): correct file_name in the annotation file, or '
                f'img_prefix'
            )
    return ''


def read_file(path: str) -> bytes:
    """The bytes of a file that may be an image.

    Raises:
        OSError: it cannot be read, or is a pipe or device.
        DataError: it is larger than any image that would be decoded.
    """
    with open_file(path) as file:
        _check_bytes(os.fstat(file.fileno()).st_size, path)
        return file.read()


def _check_bytes(size: int, path: str) -> None:
    if size > max_bytes():
        raise DataError(
            f'{path}: {size:,} bytes are no image that would be decoded; the environment variable '
            f'HRDET_MAX_PIXELS raises the bound'
        )


class FolderImages:
    """Image files in a folder."""

    def __init__(self, folder: str, key: str = 'img_prefix'):
        if not Path(folder).is_dir():
            raise missing(key, folder, 'folder')
        self.folder = folder

    def path(self, name: str) -> str:
        """The name of an image in messages and results."""
        return os.path.join(self.folder, name)

    def files(self) -> FileNames:
        """All files below the folder, as sorted paths relative to it."""
        return list_folder(self.folder)

    def folders(self) -> set[str]:
        """The folders directly in the folder, without hidden ones."""
        with os.scandir(self.folder) as entries:
            return {e.name for e in entries if e.is_dir() and not e.name.startswith('.')}

    def read(self, name: str) -> bytes:
        """The bytes of one file, which lies in the folder."""
        path = self.path(name)
        check_name(name, path)
        try:
            return read_file(path)
        except OSError as error:
            hint = self._similar(name) if isinstance(error, FileNotFoundError) else ''
            raise DataError(f'{path}: {error.strerror}{hint}') from error

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of change of one file: another content has another stamp.

        Raises:
            OSError: there is no such file.
        """
        state = os.stat(self.path(name))
        return state.st_size, state.st_mtime_ns

    def _similar(self, name: str) -> str:
        return similar(name, self.path, lambda other: os.path.isfile(self.path(other)))


class ZipImages:
    """Image files in a zip archive, as members ``inside/NAME``, ``NAME`` or any ``.../NAME``.

    Every process opens the archive itself when it first reads from it: data loader workers share
    no file position, and the store is pickled without its handle.
    """

    def __init__(self, archive: str, inside: str = '', key: str = 'img_prefix'):
        if not Path(archive).is_file():
            raise missing(key, archive, 'zip file')
        self.archive = archive
        self.inside = inside
        self._open_for: tuple[int, zipfile.ZipFile, dict[str, list[str]]] | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {'_open_for': None}

    def path(self, name: str) -> str:
        """The name of an image in messages and results."""
        return f'{self.archive}/{PurePosixPath(self.inside, name)}'

    def read(self, name: str) -> bytes:
        """The bytes of one member, checked against its checksum."""
        check_name(name, self.path(name))
        archive, members = self._opened()
        member = self._find(name, members)
        _check_bytes(archive.getinfo(member).file_size, f'{self.archive}/{member}')
        try:
            return archive.read(member)
        except Exception as error:  # the errors of zipfile's decompressors have no common base
            raise self._corrupt(f'member {member}', error) from error

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of change of the archive."""
        state = os.stat(self.archive)
        return state.st_size, state.st_mtime_ns

    def _find(self, name: str, members: dict[str, list[str]]) -> str:
        wanted = PurePosixPath(self.inside, name)
        same_name = members.get(wanted.name, [])
        if str(wanted) in same_name:
            return str(wanted)
        # Archives often have one more folder above their files.
        matches = [member for member in same_name if f'/{member}'.endswith(f'/{wanted}')]
        if not matches:
            hint = similar(
                name,
                self.path,
                lambda other: (
                    str(PurePosixPath(self.inside, other))
                    in members.get(PurePosixPath(other).name, [])
                ),
            )
            raise DataError(f'{self.archive} has no member {wanted}{hint}')
        if len(matches) > 1:
            raise DataError(
                f'{self.archive} has {len(matches)} members {wanted}: {", ".join(matches[:4])}; '
                f'say which folder: img_prefix={self.archive}/FOLDER'
            )
        return matches[0]

    def _opened(self) -> tuple[zipfile.ZipFile, dict[str, list[str]]]:
        if self._open_for is None or self._open_for[0] != os.getpid():
            try:
                archive = zipfile.ZipFile(self.archive)
            except BAD_ARCHIVE as error:
                raise self._corrupt('the archive', error) from error
            members: dict[str, list[str]] = {}
            for member in archive.namelist():
                members.setdefault(member.rsplit('/', 1)[-1], []).append(member)
            self._open_for = (os.getpid(), archive, members)
        return self._open_for[1:]

    def _corrupt(self, what: str, error: Exception) -> DataError:
        return DataError(f'{self.archive}: {what} cannot be read ({error}); fetch the file again')


def decode_checked(
    images: FolderImages | ZipImages, name: str, size: tuple[int, int], exif: str = 'ignore'
) -> np.ndarray:
    """The pixels (h, w, 3) of an image, which must have the size that its annotation says.

    ``exif`` says what happens to an orientation mark: 'ignore' takes the pixels as they are stored,
    'apply' turns them, 'error' refuses the image.
    """
    # 1. With 'error' a rotated image is refused before it is decoded.
    origin, data = images.path(name), images.read(name)
    if exif == 'error':
        header = read_header(data)
        if header is not None and header.orientation != 1:
            raise DataError(
                f'{origin}: its EXIF orientation is {header.orientation}, which exif="error" '
                f'refuses: store the pixels upright, or set exif="apply" or "ignore"'
            )
    # 2. Decode, and compare with the annotation; exchanged edges have two usual causes.
    image = decode(data, origin, UPRIGHT if exif == 'apply' else COLOUR)
    actual = image.shape[:2]
    if actual != size:
        header = read_header(data)
        hint = ''
        if actual == size[::-1] and header is not None and header.orientation > 4:
            hint = " (its EXIF orientation turns it: set exif='apply' in the data set)"
            if exif == 'apply':
                hint = (
                    " (before its EXIF orientation turns it, which exif='apply' asks for: exchange "
                    'width and height in the annotation file, or, if its boxes are of the pixels '
                    "as they are stored too, set exif='ignore')"
                )
        elif actual == size[::-1]:
            hint = ' (height and width exchanged?)'
        raise DataError(
            f'{origin}: the file is {actual[1]} x {actual[0]} pixels, its annotation says '
            f'{size[1]} x {size[0]}{hint}'
        )
    return image


def read_label_map(
    images: FolderImages | ZipImages, name: str, size: tuple[int, int], classes: int | None = None
) -> np.ndarray:
    """Labels (h, w) uint8 below ``classes``, or 255, of a grey PNG of the size of its image."""
    origin = images.path(name)
    labels = decode(images.read(name), origin, cv2.IMREAD_UNCHANGED)
    if labels.shape != size or labels.dtype != np.uint8:
        raise DataError(
            f'{origin}: a semantic map must be an 8-bit grey PNG of {size}, as (h, w), '
            f'not {labels.dtype} {labels.shape}'
        )
    foreign = labels[(labels >= classes) & (labels < 255)] if classes is not None else labels[:0]
    if foreign.size:
        raise DataError(
            f'{origin}: label {foreign.flat[0]} ({foreign.size:,} pixels), but semantic_head has '
            f'num_classes={classes}: set it higher, or these pixels to 255, which is ignored'
        )
    return labels
