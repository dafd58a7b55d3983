"""Images of a folder or archive, listed by name: the base of class folders and label maps."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from hrdet.data.datasets.archives import ArchiveImages
from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.images import UPRIGHT, FolderImages, decode
from hrdet.data.datasets.listing import FileNames
from hrdet.data.errors import DataError, Problem, missing, raise_or_warn, read_lines
from hrdet.data.transforms import apply
from hrdet.messages import plural
from hrdet.structures import Annotation, ImageMeta, Sample

# Suffixes, in small letters, of the image files that OpenCV reads.
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')
_UNREADABLE = ('.gif', '.jfif', '.jpe', '.jp2', '.jxl', '.avif', '.heic', '.heif', '.tga')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.flv')


class StoredImages(ImageDataset):
    """Images of a folder or an archive; their names are the image ids.

    Photos are turned upright as their EXIF data say, as mmpretrain and mmsegmentation do.

    Args:
        store: where they are.
        names: their files in it.
        transforms: applied in order; after ``AugmentedViews`` a sample is the list of its views.
        test_mode: load no truth with a sample.
    """

    def __init__(
        self,
        store: FolderImages | ArchiveImages,
        names: Sequence[str],
        transforms: Sequence[Callable[[Sample, np.random.Generator], Sample]] = (),
        test_mode: bool = False,
    ):
        self.image_ids = names
        self.transforms = list(transforms)
        self.test_mode = test_mode
        self._store = store

    def file(self, index: int) -> tuple[FolderImages | ArchiveImages, str]:
        return self._store, self.image_ids[index]

    def image(self, index: int) -> np.ndarray:
        name = self.image_ids[index]
        return decode(self._store.read(name), self._store.path(name), UPRIGHT)

    def sample(self, index: int, rng: np.random.Generator) -> Sample | list[Sample]:
        name, origin = self.image_ids[index], self.path(index)
        try:
            image = self.image(index)
            size = image.shape[:2]
            truth = None if self.test_mode else self.training_truth(index, size)
            meta = ImageMeta(origin, name, size, size, size)
            return apply(self.transforms, Sample(image, meta, truth), rng)
        except DataError:  # which names the file
            raise
        except Exception as error:
            raise DataError(f'{origin}: {type(error).__name__}: {error}') from error

    def training_truth(self, index: int, size: tuple[int, int]) -> Annotation | None:
        """The truth about image ``index``, which is of ``size`` (h, w)."""
        return self.truth(index)


def images_among(files: FileNames, extensions: Sequence[str], prefix: str) -> FileNames:
    """The images among the files below ``prefix``, by their suffixes; a warning about others."""
    if isinstance(extensions, str):
        raise ValueError(f'extensions must be a tuple of suffixes: ({extensions!r},)')
    suffixes = tuple(suffix.lower() for suffix in extensions)
    images = [name for name in files if name.lower().endswith(suffixes)]
    if len(images) == len(files):
        return files
    # Images of formats that OpenCV cannot read are left out, and told of.
    others = [name for name in files if name.lower().endswith(_UNREADABLE)]
    if others:
        reason = (
            f'{plural(len(others), "image")} of formats that are not read, such as {others[0]}: '
            f'convert to JPEG or PNG'
        )
        raise_or_warn([Problem(prefix, '', reason, fatal=False)])
    return FileNames(images)


def names_of_classes(classes: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """Class names as a tuple, from the names or from a text file with one name a line."""
    if not isinstance(classes, str):
        return None if classes is None else tuple(classes)
    there = os.path.exists(classes) and not os.path.isdir(classes)
    if '/' in classes and not there:
        raise missing('classes', classes, 'file')
    if not there:
        raise DataError(
            f'classes: there is no file {classes!r} with one name a line; the names themselves '
            f'are given as a tuple: ({classes!r},)'
        )
    return tuple(line.strip() for line in read_lines(classes, 'classes') if line.strip())
