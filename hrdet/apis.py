"""Python API: build a model from a config and a checkpoint, and run it on images.

model = init_model('configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py', 'model_final.pth')
result = inference_model(model, 'street.jpg')
result.boxes, result.scores, [model.classes[label] for label in result.labels]
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import torch

import hrdet.optimize
from hrdet import zoo
from hrdet.checkpoints import load_checkpoint, read_checkpoint, saved_classes
from hrdet.config import Config, RunConfig, load_config, lower
from hrdet.data import DataError, collate
from hrdet.data.datasets.images import decode
from hrdet.data.errors import MissingDataError
from hrdet.data.transforms import AugmentedViews, Transform, apply
from hrdet.models import build_model
from hrdet.models.base import BaseModel
from hrdet.models.detectors import Detector
from hrdet.registry import ConfigError, build
from hrdet.structures import Batch, Detections, ImageMeta, Sample, Views

Image = str | os.PathLike | np.ndarray

_logger = logging.getLogger('hrdet')


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


def init_model(
    config: str | os.PathLike | Mapping[str, Any] | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    optimize: bool | Mapping[str, Any] | None = None,
) -> BaseModel:
    """Build a model for inference and load its weights.

    Args:
        config: a config file, its content, or the name of a published model (``zoo.MODELS``).
        checkpoint: a file of any known family; None leaves the initial weights, and for the name
            of a published model takes its weights from ``zoo.cache_folder()``.
        device: by default the GPU if there is one, else the CPU.
        cfg_options: values that override the config's, by dotted path.
        optimize: True makes it several times faster, for inference only and with the same results;
            or arguments of ``hrdet.optimize.optimize``, such as ``dict(dtype=torch.bfloat16)``.

    Returns:
        The model in eval mode. ``classes`` are the names of its labels: from the checkpoint, else
        from the config, else from the data set that the config names.

    Raises:
        ConfigError, CheckpointError, FileNotFoundError: with what to change.
    """
    # 1. What to build, and from which weights.
    config, checkpoint = zoo.resolve(config, checkpoint)
    if not isinstance(config, Config) or cfg_options:
        config = load_config(config, cfg_options)
    run = lower(config)
    content = None if checkpoint is None else read_checkpoint(checkpoint, mapped=True)
    device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f"device={str(device)!r}: torch sees no GPU here; use device='cpu'")

    # 2. The model with its weights.
    model = build_model(run, _classes(run, content), fresh=content is None)
    if content is not None:
        report = load_checkpoint(model, content, name=str(checkpoint))
        _logger.info('%s', report)
        for text in report.warnings:
            _logger.warning('%s: %s', checkpoint, text)

    # 3. How it is fed, and how it runs.
    loader, dataset = _test_data(run)
    model.pipeline = ImagePipeline(build(dataset['transforms']), loader['size_divisor'])
    model = model.to(device).eval()
    if optimize is None or optimize is False:
        return model
    if optimize is not True and not isinstance(optimize, Mapping):
        raise ConfigError(
            f'optimize is True, False or arguments, as in dict(dtype=torch.bfloat16), not '
            f'{optimize!r}'
        )
    return hrdet.optimize.optimize(model, **({} if optimize is True else optimize))


@overload
def inference_model(model: BaseModel, images: Image, batch_size: int = 1) -> Any: ...
@overload
def inference_model(
    model: BaseModel, images: Sequence[Image], batch_size: int = 1
) -> list[Any]: ...
def inference_model(
    model: BaseModel, images: Image | Sequence[Image], batch_size: int = 1
) -> Any | list[Any]:
    """Run a model on images.

    Args:
        model: from ``init_model``.
        images: a file name, an array (h, w, 3) uint8 BGR as OpenCV gives it, or a list of these.
        batch_size: how many images of a list go through the network at once; they are padded to
            the largest of them, which may change scores in the last digits.

    Returns:
        The model's kind of result (``Detections``, ...) as numpy arrays, in pixels of the image as
        given; a list for a list.

    Raises:
        DataError: a file is missing or not an image; the message names it.
        ValueError: an array of another shape or type.
    """
    if isinstance(images, (str, os.PathLike, np.ndarray)):
        return inference_model(model, [images])[0]
    if not hasattr(model, 'pipeline'):
        raise ValueError('this model does not know how to prepare images: use init_model')
    device = next(model.parameters()).device
    results: list[Any] = []
    for start in range(0, len(images), batch_size):
        chunk = images[start : start + batch_size]
        names = [
            f'images[{start + i}]' if isinstance(image, np.ndarray) else str(image)
            for i, image in enumerate(chunk)
        ]
        batch = model.pipeline([read_image(image) for image in chunk], names)
        results += [result.numpy() for result in model.predict(batch.to(device))]
    return results


def init_detector(
    config: str | os.PathLike | Mapping[str, Any] | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    optimize: bool | Mapping[str, Any] | None = None,
) -> Detector:
    """``init_model`` of a detector."""
    return init_model(config, checkpoint, device, cfg_options, optimize)


@overload
def inference_detector(model: Detector, images: Image, batch_size: int = 1) -> Detections: ...
@overload
def inference_detector(
    model: Detector, images: Sequence[Image], batch_size: int = 1
) -> list[Detections]: ...
def inference_detector(
    model: Detector, images: Image | Sequence[Image], batch_size: int = 1
) -> Detections | list[Detections]:
    """``inference_model`` of a detector: its detections, best first."""
    return inference_model(model, images, batch_size)


def read_image(image: Image) -> np.ndarray:
    """An image (h, w, 3) uint8 BGR from a file, upright by its EXIF tag, or an array as it is."""
    if not isinstance(image, np.ndarray):
        name = str(image)
        try:
            return decode(Path(name).read_bytes(), name, cv2.IMREAD_COLOR)
        except OSError as error:
            raise DataError(f'{name}: {error.strerror}') from error
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f'an image is (h, w, 3) uint8 in the order blue, green, red, not {image.shape} '
            f'{image.dtype}; cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) makes one of a grey image'
        )
    return image


def _classes(run: RunConfig, content: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of the labels: from the checkpoint, the config, or the data set of the config."""
    saved = None if content is None else saved_classes(content)
    if isinstance(saved, tuple):
        return saved
    if run.classes:
        return run.classes
    try:
        return build(_test_data(run)[1]).classes
    except ConfigError as error:
        if not isinstance(error.__cause__, MissingDataError):
            raise
        count = saved or next(_class_counts(run.model), None)
        if count is None:
            raise ConfigError(
                f'{error}. Or write classes=(...) with the names of the classes into the config'
            ) from error
        _logger.warning(
            'neither the checkpoint nor the config names the classes, so labels are shown as '
            'numbers: write classes=(...) with the names of all %d into the config (%s)',
            count,
            error,
        )
        return tuple(map(str, range(count)))


def _test_data(run: RunConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The loader's arguments and the data set with transforms for test, else for validation."""
    for split in (run.test, run.val):  # the transforms of training are random
        for node in _nodes(split):
            if 'transforms' in node:
                return split, node
    raise ConfigError('data.test: how to prepare images is read from it (or data.val); add it')


def _class_counts(model: dict[str, Any]) -> Iterator[int]:
    return (node['num_classes'] for node in _nodes(model) if node.get('num_classes'))


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All dicts in a tree, from the outside in."""
    if isinstance(value, dict):
        yield value
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    for item in value:
        yield from _nodes(item)
