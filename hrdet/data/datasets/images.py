"""Where image files are: a folder, or a zip file that is read in place."""

import os
import zipfile
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from hrdet.data.datasets import png
from hrdet.data.datasets.listing import FileNames, list_folder
from hrdet.data.errors import DataError, missing

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
    """
    if data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < 0:  # it is at the end
        raise DataError(f'{origin}: the JPEG is cut off after {len(data)} bytes; fetch it again')
    image = png.decode_rgb(data) if flags in (COLOUR, UPRIGHT) else None
    if image is None and data:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise DataError(f'{origin}: not an image OpenCV can read ({len(data)} bytes)')
    return image


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
        """The bytes of one file."""
        try:
            return Path(self.path(name)).read_bytes()
        except OSError as error:
            raise DataError(f'{self.path(name)}: {error.strerror}') from error


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
        archive, members = self._opened()
        member = self._find(name, members)
        try:
            return archive.read(member)
        except Exception as error:  # the errors of zipfile's decompressors have no common base
            raise self._corrupt(f'member {member}', error) from error

    def _find(self, name: str, members: dict[str, list[str]]) -> str:
        wanted = PurePosixPath(self.inside, name)
        same_name = members.get(wanted.name, [])
        if str(wanted) in same_name:
            return str(wanted)
        # Archives often hold their files below one more folder.
        matches = [member for member in same_name if f'/{member}'.endswith(f'/{wanted}')]
        if not matches:
            raise DataError(f'{self.archive} has no member {wanted}')
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
            except (zipfile.BadZipFile, OSError) as error:
                raise self._corrupt('the archive', error) from error
            members: dict[str, list[str]] = {}
            for member in archive.namelist():
                members.setdefault(member.rsplit('/', 1)[-1], []).append(member)
            self._open_for = (os.getpid(), archive, members)
        return self._open_for[1:]

    def _corrupt(self, what: str, error: Exception) -> DataError:
        return DataError(f'{self.archive}: {what} cannot be read ({error}); fetch the file again')


def decode_checked(
    images: FolderImages | ZipImages, name: str, size: tuple[int, int]
) -> np.ndarray:
    """The pixels (h, w, 3) of an image, which must have the size that its annotation says."""
    origin = images.path(name)
    image = decode(images.read(name), origin)
    actual = image.shape[:2]
    if actual != size:
        turned = ' (turned by EXIF? store the pixels upright)' if actual == size[::-1] else ''
        raise DataError(
            f'{origin}: the file is {actual[1]} x {actual[0]} pixels, its annotation says '
            f'{size[1]} x {size[0]}{turned}'
        )
    return image


def read_label_map(
    images: FolderImages | ZipImages, name: str, size: tuple[int, int]
) -> np.ndarray:
    """The labels (h, w) uint8 of a grey PNG, which must have the size of its image."""
    origin = images.path(name)
    labels = decode(images.read(name), origin, cv2.IMREAD_UNCHANGED)
    if labels.shape != size or labels.dtype != np.uint8:
        raise DataError(
            f'{origin}: a semantic map must be an 8-bit grey PNG of {size}, as (h, w), '
            f'not {labels.dtype} {labels.shape}'
        )
    return labels
