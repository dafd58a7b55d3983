"""Images passed to the Python API: read from files, bytes or arrays, and prepared as for a test."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import torch

from hrdet.data.collate import collate
from hrdet.data.datasets.damage import decode_sound
from hrdet.data.datasets.images import UPRIGHT, read_file
from hrdet.data.errors import DataError
from hrdet.data.transforms import AugmentedViews, Transform, apply
from hrdet.structures import Batch, ImageMeta, Sample, Views

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Image = Union[str, os.PathLike, bytes, np.ndarray, 'Picture']
ACCEPTED = (
    'a file name, the bytes of an image file, an array (h, w, 3) uint8 in the order blue, green, '
    'red, or an image of Pillow'
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
    single = (str, os.PathLike, bytes, bytearray, np.ndarray, torch.Tensor)
    one = isinstance(images, single) or hasattr(images, 'read') or _is_picture(images)
    return one or not isinstance(images, Iterable)


def read_image(image: Image) -> np.ndarray:
    """An image (h, w, 3) uint8 BGR.

    Files, their bytes, and Pillow's images become upright by their EXIF tag; arrays are taken as
    they are.

    Raises:
        DataError: a file that is missing or not an image; the message names it.
        TypeError, ValueError: something else than an image; the message says what is accepted.
    """
    if isinstance(image, (str, os.PathLike)):
        return _from_file(os.fspath(image))
    if isinstance(image, (bytes, bytearray)):
        return decode_sound(bytes(image), 'the bytes of an image', UPRIGHT)
    # Pillow's images are RGB; OpenCV and hrdet's transforms use BGR.
    if _is_picture(image):
        from PIL import ImageOps

        return np.ascontiguousarray(
            np.asarray(ImageOps.exif_transpose(image).convert('RGB'))[..., ::-1]
        )
    if not isinstance(image, np.ndarray):
        raise TypeError(f'an image is {ACCEPTED}, not {type(image).__name__}{_hint(image)}')
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f'an image is (h, w, 3) uint8 in the order blue, green, red, not {image.shape} '
            f'{image.dtype}{_hint(image)}'
        )
    return image


def _from_file(name: str) -> np.ndarray:
    try:
        return decode_sound(read_file(name), name, UPRIGHT)
    except OSError as error:
        hint = ''
        if os.path.isdir(name):
            hint = '; give the files in it as a list'
        elif '://' in name:
            hint = '; addresses are not fetched: download the image and give its bytes'
        raise DataError(f'{name}: {error.strerror}{hint}') from error


def _is_picture(image: Any) -> bool:
    """Whether it is an image of Pillow; if Pillow is not imported yet, it cannot be one."""
    pillow = sys.modules.get('PIL.Image')
    return pillow is not None and isinstance(image, pillow.Image)


def _hint(image: Any) -> str:
    # The usual mistakes, each with the call that solves it.
    if image is None:
        return ', which cv2.imread returns for a file that it cannot read'
    if isinstance(image, torch.Tensor):
        return '; image.permute(1, 2, 0).numpy() makes an array of a (3, h, w) tensor'
    if hasattr(image, 'read'):
        return '; give what its read() returns'
    if not isinstance(image, np.ndarray):
        return ''
    if image.ndim == 4:
        return '; give several images as a list'
    if image.dtype != np.uint8:
        return '; values from 0 to 1 become such with (255 * image).astype(np.uint8)'
    codes = {2: 'GRAY2BGR', 1: 'GRAY2BGR', 4: 'BGRA2BGR'}
    code = codes.get(image.shape[2] if image.ndim == 3 else image.ndim)
    return f'; cv2.cvtColor(image, cv2.COLOR_{code}) makes one of it' if code else ''
