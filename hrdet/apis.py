"""The notebook's door: a detector from a config and a checkpoint, and what it sees on images.

model = init_detector('configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py', 'model_final.pth')
found = inference_detector(model, 'street.jpg')
found.boxes, found.scores, [model.classes[label] for label in found.labels]
"""

import hrdet.quick_torch  # before any other that imports torch

# isort: split
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
from hrdet.checkpoints import load_checkpoint, read_checkpoint, saved_classes
from hrdet.config import Config, Lowered, load_config, lower
from hrdet.data import DataError, collate
from hrdet.data.datasets.images import decode
from hrdet.data.transforms import AugmentedViews, Transform, apply
from hrdet.models import build_model, zoo
from hrdet.models.detectors import Detector
from hrdet.registry import ConfigError, build
from hrdet.structures import Batch, Detections, ImageMeta, Sample, Views

Image = str | os.PathLike | np.ndarray

_logger = logging.getLogger('hrdet')


@dataclass(slots=True)
class ImagePipeline:
    """Pictures to batches or views, by the transforms of a config's test data."""

    transforms: Sequence[Transform | AugmentedViews]
    size_divisor: int

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str]) -> Batch | Views:
        samples = []
        for image, name in zip(images, names):
            size = image.shape[:2]
            sample = Sample(image, ImageMeta(name, name, size, size, size))
            samples.append(apply(self.transforms, sample, np.random.default_rng(0)))
        return collate(samples, size_divisor=self.size_divisor)


def init_detector(
    config: str | os.PathLike | Mapping[str, Any] | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    optimize: bool | Mapping[str, Any] | None = None,
) -> Detector:
    """Build a detector for inference and load its weights.

    Args:
        config: a config file, its content, or the name of a published model (``zoo.MODELS``).
        checkpoint: a file of any known family; None leaves the initial weights, and for the name
            of a published model takes its weights from ``zoo.cache_folder()``.
        device: by default the GPU if there is one, else the CPU.
        cfg_options: values that override the config's, by dotted path.
        optimize: True makes it several times faster, for inference only and with the same results;
            or arguments of ``hrdet.optimize.optimize``, such as ``dict(dtype=torch.bfloat16)``.

    Returns:
        The detector in eval mode. ``classes`` are the names of its labels: from the checkpoint,
        else from the config, else from the annotation file that the config names.

    Raises:
        ConfigError, CheckpointError, FileNotFoundError: with what to change.
    """
    config, checkpoint = zoo.resolve(config, checkpoint)
    if not isinstance(config, Config) or cfg_options:
        config = load_config(config, cfg_options)
    lowered = lower(config)
    content = None if checkpoint is None else read_checkpoint(checkpoint, mapped=True)
    device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f"device={str(device)!r}: torch sees no GPU here; use device='cpu'")
    model = build_model(lowered, _classes(lowered, content), fresh=content is None)
    if content is not None:
        report = load_checkpoint(model, content, name=str(checkpoint))
        _logger.info('%s', report)
        for text in report.warnings:
            _logger.warning('%s: %s', checkpoint, text)
    model.pipeline = ImagePipeline(
        build(_test_data(lowered)['transforms']), lowered.test_loader['size_divisor']
    )
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
def inference_detector(model: Detector, images: Image, batch_size: int = 1) -> Detections: ...
@overload
def inference_detector(
    model: Detector, images: Sequence[Image], batch_size: int = 1
) -> list[Detections]: ...
def inference_detector(
    model: Detector, images: Image | Sequence[Image], batch_size: int = 1
) -> Detections | list[Detections]:
    """What a detector sees.

    Args:
        model: from ``init_detector``.
        images: a file name, an array (h, w, 3) uint8 BGR as OpenCV gives it, or a list of these.
        batch_size: how many images of a list go through the network at once; they are padded to
            the largest of them, which may change scores in the last digits.

    Returns:
        Detections in pixels of the image as given, best first, as numpy arrays; a list for a list.

    Raises:
        DataError: a file is missing or no image; the message names it.
        ValueError: an array of another shape or type.
    """
    if isinstance(images, (str, os.PathLike, np.ndarray)):
        return inference_detector(model, [images])[0]
    if not hasattr(model, 'pipeline'):
        raise ValueError('this model does not know how to prepare images: use init_detector')
    device = next(model.parameters()).device
    found: list[Detections] = []
    for start in range(0, len(images), batch_size):
        some = images[start : start + batch_size]
        names = [
            f'images[{start + i}]' if isinstance(image, np.ndarray) else str(image)
            for i, image in enumerate(some)
        ]
        batch = model.pipeline([read_image(image) for image in some], names)
        found += [result.numpy() for result in model.predict(batch.to(device))]
    return found


def read_image(image: Image) -> np.ndarray:
    """(h, w, 3) uint8 BGR from a file, turned upright by its EXIF mark, or from such an array."""
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


def _classes(lowered: Lowered, content: Mapping[str, Any] | None) -> tuple[str, ...]:
    saved = None if content is None else saved_classes(content)
    if isinstance(saved, tuple):
        return saved
    if lowered.classes:
        return lowered.classes
    data = _test_data(lowered)
    if Path(data['ann_file']).is_file():
        return build(data).classes
    count = saved or next(_class_counts(lowered.model), None)
    if count is None:
        raise ConfigError(
            f'{data["ann_file"]}, from which the classes would be read, does not exist: write '
            f'classes=(...) with their names into the config'
        )
    _logger.warning(
        'the checkpoint names no classes and there is no %s: labels are shown as numbers; write '
        'classes=(...) with the names of all %d into the config',
        data['ann_file'],
        count,
    )
    return tuple(map(str, range(count)))


def _test_data(lowered: Lowered) -> dict[str, Any]:
    """The first data set with files of its own among those for test and validation."""
    for node in (lowered.test_dataset, lowered.val_dataset):  # training's transforms are random
        for leaf in _nodes(node):
            if 'ann_file' in leaf:
                return leaf
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
