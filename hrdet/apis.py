"""Python API: published models by name, models from config and checkpoint, results of images.

model = init_model('configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py', 'model_final.pth')
result = inference_model(model, 'street.jpg')
result.boxes, result.scores, [model.classes[label] for label in result.labels]

inference_model('hrnet-w18_3rdparty_8xb32_in1k', 'bird.jpg')['pred_class']
"""

import fnmatch
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, overload

import torch

import hrdet.optimize
from hrdet import zoo
from hrdet.checkpoints import load_checkpoint, read_checkpoint
from hrdet.class_names import classes_of, test_data
from hrdet.config import Config, load_config, lower
from hrdet.data.inputs import Image, ImagePipeline
from hrdet.inference import DetectionResult, Results, SegmentationResult, Tiling, present_images
from hrdet.models import build_model
from hrdet.models.base import BaseModel
from hrdet.models.detectors import Detector
from hrdet.models.segmentors import EncoderDecoder
from hrdet.registry import ConfigError, build

ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | Config

_logger = logging.getLogger('hrdet')


def list_models(
    pattern: str | None = None,
    exclude_patterns: str | Sequence[str] = (),
    task: str | None = 'classification',
) -> list[str]:
    """Names of published models, sorted, as mmpretrain's function of that name.

    Args:
        pattern: as of file names, such as ``'*w18*'``; None: all.
        exclude_patterns: one or more of names to leave out.
        task: 'classification', 'detection' or 'segmentation'; None: all.
    """
    tasks = {model.task for model in zoo.MODELS.values()}
    if task is not None and task not in tasks:
        raise ValueError(f'task is one of {", ".join(sorted(tasks))} or None, not {task!r}')
    excluded = [exclude_patterns] if isinstance(exclude_patterns, str) else exclude_patterns
    return sorted(
        name
        for name, model in zoo.MODELS.items()
        if task in (None, model.task)
        and fnmatch.fnmatch(name, pattern or '*')
        and not any(fnmatch.fnmatch(name, other) for other in excluded)
    )


def get_model(
    model: ConfigSource,
    pretrained: bool | str | os.PathLike[str] = False,
    device: str | torch.device | None = None,
    **overrides: Any,
) -> BaseModel:
    """A model in eval mode, as mmpretrain's function of that name.

    Args:
        model: the name of a published model, or a config.
        pretrained: True takes the published weights, a path or an address these (``weights.find``);
            False leaves the initial weights.
        device: None: the CPU.
        overrides: sections that are merged into the config's ``model``, such as
            ``head=dict(num_classes=10)``; layers of another number of classes keep their initial
            weights.

    Returns:
        The model; a classifier's ``model(images)`` gives logits, its ``extract_feat`` features.

    Raises:
        ConfigError, CheckpointError, FileNotFoundError: with what to change.
    """
    # ``pretrained=True`` needs a model whose weights are published under its name.
    checkpoint: str | os.PathLike[str] | None = None
    if pretrained is True:
        published = zoo.named(model)
        if published is None:
            raise ConfigError(
                f'get_model({model!r}, pretrained=True): only a published model (list_models) has '
                f'weights of its own; give a path or an address as pretrained'
            )
        checkpoint = published.name
    elif pretrained is not False:
        checkpoint = pretrained
    options = {'model': overrides} if overrides else None
    config, _ = zoo.resolve(model)
    return _build(config, checkpoint, device or 'cpu', options, other_classes=bool(overrides))


def init_model(
    config: ConfigSource,
    checkpoint: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    optimize: bool | Mapping[str, Any] | None = None,
) -> BaseModel:
    """Build a model of any task for inference and load its weights.

    Args:
        config: a config file, its content, or the name of a published model (``zoo.MODELS``).
        checkpoint: what ``weights.find`` takes: a file of any known family, an address, a name;
            None leaves the initial weights, and takes those of a published model by its name.
        device: by default the GPU if there is one, else the CPU.
        cfg_options: values that override the config's, by dotted path.
        optimize: True makes it several times faster, for inference only and with the same results;
            or arguments of ``hrdet.optimize.optimize``, such as ``dict(dtype=torch.bfloat16)``.

    Returns:
        The model in eval mode. ``classes`` are the names of its labels: from the checkpoint, else
        from the config, else from the data set that the config names; ``palette`` their colours.

    Raises:
        ConfigError, CheckpointError, FileNotFoundError: with what to change.
    """
    config, checkpoint = zoo.resolve(config, checkpoint)
    model = _build(config, checkpoint, device, cfg_options)
    if optimize is None or optimize is False:
        return model
    if optimize is not True and not isinstance(optimize, Mapping):
        raise ConfigError(
            f'optimize is True, False or arguments, as in dict(dtype=torch.bfloat16), not '
            f'{optimize!r}'
        )
    return hrdet.optimize.optimize(model, **({} if optimize is True else optimize))


def _build(
    config: ConfigSource,
    checkpoint: str | os.PathLike[str] | None,
    device: str | torch.device | None,
    cfg_options: Mapping[str, Any] | None = None,
    other_classes: bool = False,
) -> BaseModel:
    # 1. What to build, and from which weights.
    if not isinstance(config, Config) or cfg_options:
        config = load_config(config, cfg_options)
    run = lower(config)
    for text in run.warnings:
        if text.startswith('auto_scale_lr'):
            continue  # matters in training alone
        _logger.warning('%s', text)
    content = None if checkpoint is None else read_checkpoint(checkpoint, mapped=True)
    device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f"device={str(device)!r}: torch sees no GPU here; use device='cpu'")

    # 2. The model with its weights.
    classes, palette = classes_of(run, content, other_classes, str(checkpoint))
    model = build_model(run, classes, fresh=content is None or other_classes)
    model.palette = palette
    if content is not None:
        report = load_checkpoint(model, content, other_classes=other_classes, name=str(checkpoint))
        _logger.info('%s', report)

    # 3. How it is fed.
    loader, dataset = test_data(run)
    model.pipeline = ImagePipeline(build(dataset['transforms']), loader.get('size_divisor', 1))
    return model.to(device).eval()


@overload
def inference_model(
    model: BaseModel | str, images: Image, batch_size: int = 1, score_thr: float | None = None
) -> Any: ...
@overload
def inference_model(
    model: BaseModel | str,
    images: Iterable[Image],
    batch_size: int = 1,
    score_thr: float | None = None,
) -> Results[Any]: ...
def inference_model(
    model: BaseModel | str,
    images: Image | Iterable[Image],
    batch_size: int = 1,
    score_thr: float | None = None,
) -> Any:
    """Run a model on images.

    Args:
        model: from ``init_model`` or ``get_model``; or the name of a published model, which is
            then built at every call.
        images: an image: a file name, an http(s) address, the bytes of an image file, an open file,
            an array (h, w, 3), (h, w), or with alpha (h, w, 4), in the order blue, green, red as
            OpenCV gives it, a tensor (3, h, w) in the order red, green, blue, or an image of
            Pillow.  Several: a folder, a pattern of file names, a list, or another iterable.
        batch_size: how many images of a list go through the network at once.  Detectors pad them to
            the largest of them, which changes scores unless all have one size; the others run
            images of different sizes one by one.
        score_thr: detections with a lower score are left out.

    Returns:
        Of a detector a ``DetectionResult``, of a segmentor a ``SegmentationResult``, with numpy
        arrays, in pixels of the image as given; of a classifier a ``ClassificationResult``, a dict.
        ``Results``, a list of these, for several images.

    Raises:
        DataError: a file is missing or not an image; the message names it.
        TypeError, ValueError: something else than images, or no batch size.
    """
    if isinstance(model, str):
        if zoo.named(model) is None:
            raise ConfigError(
                f'{model!r} is not the name of a published model{zoo.similar(model)} '
                f'list_models(task=None) names them; build a model of your own with '
                f'init_model(config, checkpoint)'
            )
        model = init_model(model)
    return present_images(model, images, batch_size, score_thr)


def init_detector(
    config: ConfigSource,
    checkpoint: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    optimize: bool | Mapping[str, Any] | None = None,
) -> Detector:
    """``init_model`` of a detector."""
    return cast(Detector, init_model(config, checkpoint, device, cfg_options, optimize))


@overload
def inference_detector(
    model: Detector,
    images: Image,
    batch_size: int = 1,
    score_thr: float | None = None,
    tile: int | None = None,
    overlap: float = 0.2,
) -> DetectionResult: ...
@overload
def inference_detector(
    model: Detector,
    images: Iterable[Image],
    batch_size: int = 1,
    score_thr: float | None = None,
    tile: int | None = None,
    overlap: float = 0.2,
) -> Results[DetectionResult]: ...
def inference_detector(
    model: Detector,
    images: Image | Iterable[Image],
    batch_size: int = 1,
    score_thr: float | None = None,
    tile: int | None = None,
    overlap: float = 0.2,
) -> DetectionResult | Results[DetectionResult]:
    """``inference_model`` of a detector: its detections, best first.

    ``tile`` is for small objects in large images: besides the image, squares of that edge in
    pixels, which overlap by the share ``overlap``, go through the network as images of their own.
    """
    tiling = None if tile is None else Tiling(tile, overlap)
    return present_images(model, images, batch_size, score_thr, tiling=tiling)


def init_segmentor(
    config: ConfigSource,
    checkpoint: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    optimize: bool | Mapping[str, Any] | None = None,
) -> EncoderDecoder:
    """``init_model`` of a segmentor."""
    model = init_model(config, checkpoint, device, cfg_options, optimize)
    return cast(EncoderDecoder, model)


@overload
def inference_segmentor(
    model: EncoderDecoder, images: Image, batch_size: int = 1, with_logits: bool = False
) -> SegmentationResult: ...
@overload
def inference_segmentor(
    model: EncoderDecoder, images: Iterable[Image], batch_size: int = 1, with_logits: bool = False
) -> Results[SegmentationResult]: ...
def inference_segmentor(
    model: EncoderDecoder,
    images: Image | Iterable[Image],
    batch_size: int = 1,
    with_logits: bool = False,
) -> SegmentationResult | Results[SegmentationResult]:
    """``inference_model`` of a segmentor; ``np.asarray(result)`` is the label map (h, w).

    ``with_logits`` keeps the logits (K, h, w) beside the labels.
    """
    return present_images(model, images, batch_size, with_logits=with_logits)
