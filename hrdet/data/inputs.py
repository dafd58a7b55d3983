"""Images passed to the Python API: read from files, bytes or arrays, and prepared as for a test."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast
from urllib.request import Request, urlopen

import numpy as np
import torch

from hrdet.data.collate import collate
from hrdet.data.datasets.damage import decode_sound
from hrdet.data.datasets.headers import max_bytes
from hrdet.data.datasets.images import UPRIGHT, read_file
from hrdet.data.datasets.stored import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from hrdet.data.errors import DataError
from hrdet.data.transforms import AugmentedViews, Transform, apply
from hrdet.download import TIMEOUT, offline, reason_of
from hrdet.structures import Batch, ImageMeta, Sample, Views

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Image = Union[
    str, os.PathLike[str], bytes, bytearray, BinaryIO, np.ndarray, torch.Tensor, 'Picture'
]
ACCEPTED = (
    'a file name, an http(s) address, the bytes of an image file, an open file, an array (h, w, 3) '
    'in the order blue, green, red, a tensor (3, h, w) in the order red, green, blue, or an image '
    'of Pillow'
)


@dataclass(slots=True)
class ImagePipeline:
    """From images to a batch or views, by the transforms of a config's test data."""

    transforms: Sequence[Transform | AugmentedViews]
    size_divisor: int

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str]) -> Batch | Views:
        samples = []
        for image, name in zip(images, names):
            # Transforms of a test draw no random numbers, so the seed does not matter.
            size = image.shape[:2]
            sample = Sample(image, ImageMeta(name, name, size, size, size))
            samples.append(apply(self.transforms, sample, np.random.default_rng(0)))
        return collate(samples, size_divisor=self.size_divisor)


def is_one_image(images: Any) -> bool:
    """Whether ``images`` is a single image, and not a list or another iterable of them."""
    if isinstance(images, (np.ndarray, torch.Tensor)):
        return images.ndim < 4
    if isinstance(images, (str, os.PathLike)):
        return not names_several(images)
    one = isinstance(images, (bytes, bytearray)) or hasattr(images, 'read') or _is_picture(images)
    return one or not isinstance(images, Iterable)


def names_several(images: Any) -> bool:
    """Whether ``images`` is the name of a folder, or a pattern of file names with ``*?[]``."""
    if not isinstance(images, (str, os.PathLike)) or is_address(images):
        return False
    name = os.fspath(images)
    return os.path.isdir(name) or (has_magic(name) and not os.path.isfile(name))


def is_address(image: Any) -> bool:
    """Whether it is an address that ``read_image`` fetches."""
    return isinstance(image, str) and re.match('https?://', image, re.IGNORECASE) is not None


def image_files(
    name: str | os.PathLike[str], suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> list[Path]:
    """The image files of a folder and its sub-folders, or of a pattern (``**``: any folders)."""
    folder = Path(name)
    paths = folder.rglob('*') if folder.is_dir() else map(Path, glob(str(name), recursive=True))
    return sorted(path for path in paths if path.suffix.lower() in suffixes)


def read_image(image: Image, name: str = 'the bytes of an image') -> np.ndarray:
    """An image (h, w, 3) uint8 BGR; ``name`` is that of bytes in errors.

    Files, their bytes, and Pillow's images become upright by their EXIF tag; arrays and tensors are
    taken as they are.  Grey becomes colour, an alpha channel is dropped, the upper 8 of 16 bits are
    taken, and floats from 0 to 1 become 0..255.

    Raises:
        DataError: a file that is missing or not an image; the message names it.
        TypeError, ValueError: something else than an image; the message says what is accepted.
    """
    name = str(image) if is_address(image) else name
    image = read_once(image)
    if isinstance(image, (str, os.PathLike)):
        return _from_file(os.fspath(image))
    if isinstance(image, (bytes, bytearray)):
        return decode_sound(bytes(image), name, UPRIGHT)
    # Pillow's and torchvision's images are RGB; OpenCV and hrdet's transforms use BGR.
    if _is_picture(image):
        return _swapped(_colour(_picture_pixels(image)))
    if isinstance(image, torch.Tensor):
        return _swapped(_colour(_tensor_pixels(image)))
    if not isinstance(image, np.ndarray):
        raise TypeError(f'an image is {ACCEPTED}, not {type(image).__name__}{_hint(image)}')
    return _colour(image)


def read_once(image: Image) -> Image:
    """The bytes behind an http(s) address, or of an open file; other images as they are.

    Raises:
        DataError: the address cannot be read, or the file is open as text.
    """
    if is_address(image):
        return _fetched(str(image))
    if not hasattr(image, 'read'):
        return image
    data = cast(BinaryIO, image).read()
    if not isinstance(data, bytes):
        raise DataError(f"{getattr(image, 'name', image)}: open an image with mode 'rb'")
    return data


def _fetched(address: str) -> bytes:
    if offline():
        raise DataError(f'{address}: HRDET_OFFLINE is set, so nothing is fetched')
    try:
        request = Request(address, headers={'User-Agent': 'hrdet'})
        with urlopen(request, timeout=TIMEOUT) as response:
            data = response.read(max_bytes() + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f'{address}: {reason_of(error)}') from error
    if len(data) > max_bytes():
        raise DataError(f'{address}: more than {max_bytes():,} bytes are no image')
    return data


def _from_file(name: str) -> np.ndarray:
    if name.lower().endswith(VIDEO_SUFFIXES):
        raise DataError(
            f'{name}: a video, not an image; hrdet infer takes videos, and a generator of frames '
            '(cv2.VideoCapture) may stand in place of an image'
        )
    try:
        return decode_sound(read_file(name), name, UPRIGHT)
    except OSError as error:
        hint = '; several images are a list, a folder or a pattern' if os.path.isdir(name) else ''
        if '://' in name:
            hint = '; addresses begin with http:// or https://'
        raise DataError(f'{name}: {error.strerror}{hint}') from error


def _picture_pixels(image: Any) -> np.ndarray:
    """Pixels of an image of Pillow, in its order of channels."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    # 16-bit grey and float modes have an array of their own: convert('RGB') would clip it to 255.
    return np.asarray(image if image.mode[0] in 'IF' else image.convert('RGB'))


def _tensor_pixels(image: torch.Tensor) -> np.ndarray:
    """A tensor (h, w) or (channels, h, w) as an array (h, w, channels)."""
    if image.ndim == 3 and image.shape[0] not in (1, 3, 4):
        hint = '; permute(2, 0, 1) makes one of it' if image.shape[2] in (1, 3, 4) else ''
        raise ValueError(f'a tensor of an image is (3, h, w), not {tuple(image.shape)}{hint}')
    image = image.detach().cpu()
    if image.is_floating_point():
        image = image.float()
    return (image.permute(1, 2, 0) if image.ndim == 3 else image).numpy()


def _colour(image: np.ndarray) -> np.ndarray:
    """Pixels (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) of any depth as (h, w, 3) uint8."""
    # 1. One axis of 1, 3 or 4 channels.
    channels = image[..., None] if image.ndim == 2 else image
    if channels.ndim != 3 or channels.shape[2] not in (1, 3, 4) or not image.size:
        raise ValueError(f'an image is (h, w, 3), not {image.shape}{_hint(image)}')
    channels = channels[..., :3]
    # 2. Eight bits: the upper half of 16, as OpenCV reads files of 16 bits.
    if channels.dtype == np.uint16:
        channels = (channels >> 8).astype(np.uint8)
    elif channels.dtype.kind == 'f':
        low, high = channels.min(), channels.max()
        if not (low >= 0 and high <= 1):  # also where one is not a number
            raise ValueError(
                f'an image of floats has values from 0 to 1, not from {low:g} to {high:g}; values '
                f'up to 255 become one with image.astype(np.uint8)'
            )
        channels = np.rint(channels * np.float32(255)).astype(np.uint8)
    elif channels.dtype != np.uint8:
        raise ValueError(
            f'an image has values of uint8, uint16 or float, not {image.dtype}; '
            f'image.astype(np.uint8) makes one of values from 0 to 255'
        )
    # 3. Grey three times.
    return np.repeat(channels, 3, axis=2) if channels.shape[2] == 1 else channels


def _swapped(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def _is_picture(image: Any) -> bool:
    """Whether it is an image of Pillow; if Pillow is not imported yet, it cannot be one."""
    pillow = sys.modules.get('PIL.Image')
    return pillow is not None and isinstance(image, pillow.Image)


def _hint(image: Any) -> str:
    # The usual mistakes, each with the call that solves it.
    if image is None:
        return ', which cv2.imread returns for a file that it cannot read'
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[0] in (1, 3, 4):
        return '; image.transpose(1, 2, 0) makes one of it'
    if isinstance(image, np.ndarray) and image.ndim == 4:
        return '; an array of several images is a list of them'
    return ''
