"""Object detection as mmdetection 2 writes it: data sets, pipelines and metrics."""

from typing import Any, Literal

from hrdet.config.lower.data import Splits
from hrdet.config.lower.detection import coco_evaluator
from hrdet.config.lower.nested_detection import lower_nested, translated
from hrdet.config.lower.transforms import check_disk, has_reader
from hrdet.config.node import Node, check, read
from hrdet.ranges import Count

_NAMES = {'filter_empty_gt': 'filter_empty'}


def lower_mmdet2(model: Node, splits: Splits) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data, and ``warnings``."""
    splits = {name: translated(split, _to_mmdet1) for name, split in splits.items()}
    return lower_nested(model, splits, ((r'\.filter_empty$', '.filter_empty_gt'),))


def coco_metrics(
    path: str,
    *,
    metric: str | list[str] | None = None,
    classwise: bool = False,
    metric_items: None = None,
    iou_thrs: None = None,
) -> Node:
    """The evaluator; metrics of each class are always written.  None: all that is predicted."""
    return coco_evaluator(path, metric=metric)


def _to_mmdet1(section: Node, path: str) -> Node:
    """A data set with its pipeline in the form of mmdetection 1."""
    check('pipeline' in section, f'{path}.pipeline', 'this key is required: a list of steps')
    # A plain data set: other names of keys, and the steps of its pipeline.
    values = {_NAMES.get(key, key): value for key, value in section.items()}
    values['pipeline'] = _steps(section['pipeline'], f'{path}.pipeline')
    return Node(path, values)


def _steps(steps: Any, path: str) -> list[Node]:
    check(isinstance(steps, (list, tuple)), path, f'must be a list of steps, not {steps!r}')
    found = []
    for i, step in enumerate(steps):
        known = has_reader(step, f'{path}[{i}]', _STEPS, 'detection')
        found.append(read(_STEPS[step['type']], step, step.path) if known else step)
    return found


def _load_image(
    path,
    *,
    type,
    to_float32: bool = False,
    color_type: Literal['color'] = 'color',
    channel_order: Literal['bgr'] = 'bgr',
    file_client_args: Node | None = None,
):
    check_disk(path, file_client_args)
    return Node(path, type=type)


def _load_annotations(path, *, type, file_client_args: Node | None = None, **rest):
    check_disk(path, file_client_args)
    return Node(path, rest, type=type)


def _resize(
    path,
    *,
    type,
    img_scale: Any = None,
    ratio_range: None = None,
    bbox_clip_border: Literal[True] = True,
    backend: Literal['cv2'] = 'cv2',
    interpolation: Literal['bilinear'] = 'bilinear',
    override: Literal[False] = False,
    **rest,
):
    scale = {} if img_scale is None else dict(img_scale=img_scale)
    return Node(path, rest, type=type, **scale)


def _random_flip(
    path, *, type, direction: Literal['horizontal'] = 'horizontal', flip_ratio: float | None = None
):
    return Node(path, type=type, flip_ratio=flip_ratio)


def _pad(path, *, type, size_divisor: Count, pad_val: Any = None):
    """Images are padded with the mean colour, semantic maps with 255."""
    zero = pad_val in (None, 0, dict(img=0), dict(img=0, masks=0, seg=255))
    check(zero, f'{path}.pad_val', f'0, the mean colour, pads normalised images, not {pad_val!r}')
    return Node(path, type=type, size_divisor=size_divisor)


def _format(path, *, type, img_to_float: Literal[True] = True, pad_val: Any = None):
    return Node(path, type=type)


def _rescale(path, *, type, scale_factor: float = 1, backend: Literal['cv2'] = 'cv2'):
    return Node(path, type=type, scale_factor=scale_factor)


def _unchanged(path, *, type, **rest):
    return Node(path, rest, type=type)


def _test_augmentation(
    path,
    *,
    type,
    img_scale: Any,
    scale_factor: None = None,
    flip: bool = False,
    flip_direction: Literal['horizontal'] = 'horizontal',
    transforms: Any,
):
    values = dict(img_scale=img_scale, flip=flip)
    return Node(path, type=type, transforms=_steps(transforms, f'{path}.transforms'), **values)


_STEPS = {
    'LoadImageFromFile': _load_image,
    'LoadAnnotations': _load_annotations,
    'LoadProposals': _unchanged,
    'Resize': _resize,
    'RandomFlip': _random_flip,
    'Normalize': _unchanged,
    'Pad': _pad,
    'Expand': _unchanged,
    'MinIoURandomCrop': _unchanged,
    'PhotoMetricDistortion': _unchanged,
    'SegRescale': _rescale,
    'DefaultFormatBundle': _format,
    'ImageToTensor': _unchanged,
    'Collect': _unchanged,
    'MultiScaleFlipAug': _test_augmentation,
}
