"""Run a model on images of any kind, batch by batch."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from hrdet.data.datasets.stored import IMAGE_SUFFIXES
from hrdet.data.errors import DataError
from hrdet.data.inputs import Image, image_files, is_one_image, read_image, read_once
from hrdet.inference.image_result import Origin
from hrdet.inference.result_list import Results
from hrdet.inference.results import present
from hrdet.inference.tiles import Tiling, merge_windows
from hrdet.models.base import BaseModel
from hrdet.registry import ConfigError
from hrdet.structures import Detections


def predict_images(
    model: BaseModel,
    images: Iterable[Image],
    batch_size: int = 1,
    tiling: Tiling | None = None,
    **options: Any,
) -> list[Any]:
    """The results of images as the model's kind of ``Result``, with numpy arrays.

    With a ``tiling`` an image goes through the network as a whole and in tiles.  ``options`` are
    those of the model's ``predict``; for the rest see ``inference_model``.
    """
    return [result for *_, result in _predict(model, images, batch_size, tiling, **options)]


def present_images(
    model: BaseModel,
    images: Image | Iterable[Image],
    batch_size: int = 1,
    score_thr: float | None = None,
    tiling: Tiling | None = None,
    **options: Any,
) -> Any:
    """The result of one image, or ``Results``, as users get them; see ``inference_model``."""
    if is_one_image(images):
        one = cast(Image, images)
        return present_images(model, [one], batch_size, score_thr, tiling, **options)[0]
    if score_thr is not None and model.task != 'detection':
        raise ValueError(f'score_thr is of detectors; this model is for {model.task}')
    if score_thr is not None and not 0 <= score_thr <= 1:
        raise ValueError(f'score_thr={score_thr!r}: scores lie between 0 and 1')
    if isinstance(images, (str, os.PathLike)):  # a folder or a pattern
        images = _files_of(images)
    # Images of a generator are not kept: all of them may not fit into memory.
    kept = not isinstance(images, Iterator)
    results: Results[Any] = Results()
    for name, image, result in _predict(
        model, cast(Iterable[Image], images), batch_size, tiling, **options
    ):
        if score_thr is not None:
            result = result.above(score_thr)
        source = image if kept or isinstance(image, (str, os.PathLike)) else None
        origin = Origin(name, source, model.classes or (), model.palette)
        results.append(present(result, origin))
    return results


def _predict_tiles(
    model: BaseModel, pixels: np.ndarray, batch_size: int, tiling: Tiling
) -> Detections:
    """The detections of one image, from the whole of it and from its tiles."""
    size = pixels.shape[:2]
    windows = tiling.windows(size)
    crops = [pixels[y1:y2, x1:x2] for y1, y2, x1, x2 in windows]
    return merge_windows(predict_images(model, crops, batch_size), windows, size)


def _files_of(name: str | os.PathLike[str]) -> list[Path]:
    files = image_files(name)
    if not files:
        what = 'folder has' if os.path.isdir(name) else 'pattern fits'
        raise DataError(f'{os.fspath(name)}: the {what} no image ({", ".join(IMAGE_SUFFIXES)})')
    return files


def _predict(
    model: BaseModel,
    images: Iterable[Image],
    batch_size: int,
    tiling: Tiling | None = None,
    **options: Any,
) -> Iterator[tuple[str, Image, Any]]:
    """For each image its name, the image as it can be read again, and its result."""
    if getattr(model, 'pipeline', None) is None:
        raise ValueError('this model does not know how to prepare images: use init_model')
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f'batch_size={batch_size!r} is not a number of images, 1 or more')
    if tiling is not None and model.task != 'detection':
        raise ConfigError(f'tiles are for detectors; this model is for {model.task}')
    device = next(model.parameters()).device
    # Images may be a generator: only one batch is in memory at a time.
    remaining, count = iter(images), 0
    while chunk := list(islice(remaining, batch_size)):
        names = [
            str(image) if isinstance(image, (str, os.PathLike)) else f'images[{count + i}]'
            for i, image in enumerate(chunk)
        ]
        count += len(chunk)
        # An address or an open file is read only once.
        chunk = [read_once(image) for image in chunk]
        pixels = [read_image(*pair) for pair in zip(chunk, names)]
        if tiling is not None:
            results = [_predict_tiles(model, one, batch_size, tiling) for one in pixels]
        else:
            batch = model.pipeline(pixels, names)
            results = model.predict(batch.to(device), **options)
        yield from zip(names, chunk, (result.numpy() for result in results))
