"""Images that users give to a model: files or arrays, prepared as the images of a test."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hrdet.data.collate import collate
from hrdet.data.datasets.images import UPRIGHT, decode
from hrdet.data.errors import DataError
from hrdet.data.transforms import AugmentedViews, Transform, apply
from hrdet.structures import Batch, ImageMeta, Sample, Views

Image = str | os.PathLike | np.ndarray


@dataclass(slots=True)
class ImagePipeline:
    """From images to a batch or views, by the transforms of a config's test data."""

    transforms: Sequence[Transform | AugmentedViews]
    size_divisor: int

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str]) -> Batch | Views:
        samples = []
        for image, name in zip(images, names):
            # Transforms of a test draw nothing: any generator does.
            size = image.shape[:2]
            sample = Sample(image, ImageMeta(name, name, size, size, size))
            samples.append(apply(self.transforms, sample, np.random.default_rng(0)))
        return collate(samples, size_divisor=self.size_divisor)


def read_image(image: Image) -> np.ndarray:
    """An image (h, w, 3) uint8 BGR from a file, upright by its EXIF tag, or an array as it is."""
    if not isinstance(image, np.ndarray):
        name = str(image)
        try:
            return decode(Path(name).read_bytes(), name, UPRIGHT)
        except OSError as error:
            raise DataError(f'{name}: {error.strerror}') from error
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f'an image is (h, w, 3) uint8 in the order blue, green, red, not {image.shape} '
            f'{image.dtype}; cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) makes one of a grey image'
        )
    return image
