"""Segmentation as mmsegmentation 0.x writes it: data sets with pipelines of steps."""

from collections.abc import Sequence
from typing import Any, Literal

from hrdet.config.lower.data import Splits, common_norm, lower_split
from hrdet.config.lower.segmentation import iou_evaluator, label_map_dataset, segmentor
from hrdet.config.lower.segmentation_steps import STEPS_OF_BOTH, SegPipeline, augmentation
from hrdet.config.lower.transforms import as_views, check_disk, normalize, read_scales, read_steps
from hrdet.config.node import Node, check, check_typed, read

# Scales of --aug-test in tools/test.py of mmsegmentation 0.x, each with and without a flip.
_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def lower_segmentation(model: Node, splits: Splits) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data."""
    # 1. The data sets; their pipelines are kept for the normalisation and the views of the test.
    found: list[SegPipeline] = []

    def lower_dataset(section: Node, training: bool) -> Node:
        steps, path = section.get('pipeline'), f'{section.path}.pipeline'
        listed = isinstance(steps, (list, tuple))
        check(listed, path, f'must be a list of steps, not {steps!r}')
        pipeline = SegPipeline(training)
        read_steps(pipeline, steps, path, _STEPS, 'segmentation')
        check(pipeline.norm is not None, path, "there is no step dict(type='Normalize', ...)")
        found.append(pipeline)
        rest = section.without('pipeline')
        rest['type'] = {'CustomDataset': 'BaseSegDataset'}.get(section['type'], section['type'])
        return read(label_map_dataset, rest, section.path, pipeline=pipeline)

    lowered = {name: lower_split(name, split, lower_dataset) for name, split in splits.items()}
    # 2. ``test`` is lowered last, so that the last pipeline is its own.
    if 'test' in lowered and found[-1].tta is not None:
        lowered['test']['tta'] = found[-1].tta
    norm = common_norm([pipeline.norm for pipeline in found])
    return dict(model=read(segmentor, model, 'model', preprocess=norm), **lowered)


def mean_iou(
    path: str,
    *,
    metric: str | list[str] = 'mIoU',
    left_out: str | list[str] = (),
    pre_eval: bool = True,
    efficient_test: bool = False,
) -> Node:
    """The evaluator; it counts pixels image by image, as with ``pre_eval``."""
    return iou_evaluator(path, 'metric', metric, left_out)


def _load_image(
    path,
    *,
    type,
    to_float32: bool = False,
    color_type: Literal['color'] = 'color',
    imdecode_backend: Literal['cv2'] = 'cv2',
    file_client_args: Node | None = None,
    result,
):
    """No transform: data sets load the images, which stay uint8."""
    check_disk(path, file_client_args)


def _load_annotations(
    path,
    *,
    type,
    reduce_zero_label: bool | None = None,
    imdecode_backend: Literal['pillow'] = 'pillow',
    file_client_args: Node | None = None,
    result,
):
    check_disk(path, file_client_args)
    result.load_labels(path, reduce_zero_label)


def _resize(
    path,
    *,
    type,
    img_scale: Any = None,
    multiscale_mode: Literal['range', 'value'] = 'range',
    ratio_range: tuple[float, float] | None = None,
    keep_ratio: bool = True,
    min_size: None = None,
    result,
):
    message = 'must be a pair (w, h): scales relative to the image alone do not exist'
    check(img_scale is not None, f'{path}.img_scale', message)
    scales = read_scales(img_scale, path)
    result.resize(path, scales, keep_ratio, multiscale_mode, ratio_range)


def _random_flip(path, *, type, prob=None, flip_ratio=None, direction='horizontal', result):
    twice = 'the earlier name of prob; keep one'
    check(prob is None or flip_ratio is None, f'{path}.flip_ratio', twice)
    result.flip(path, flip_ratio if prob is None else prob, direction)


def _pad(path, *, type, size, size_divisor: None = None, pad_val=0, seg_pad_val=255, result):
    result.pad(path, size, pad_val, seg_pad_val)


def _to_tensor(path, *, type, keys=(), meta_keys=(), result):
    """No transform: ``collate`` makes the tensors."""


def _test_augmentation(
    path,
    *,
    type,
    img_scale,
    img_ratios: float | list[float] | None = None,
    flip: bool = False,
    flip_direction: Literal['horizontal'] = 'horizontal',
    transforms,
    result,
):
    check(not result.training, path, 'test-time augmentation belongs to data.val and data.test')
    message = 'must be a pair (w, h): scales relative to the image alone do not exist'
    check(img_scale is not None, f'{path}.img_scale', message)
    scales = read_scales(img_scale, path)
    here = f'{path}.transforms'
    check(isinstance(transforms, (list, tuple)), here, 'must be a list of transforms')
    # ``--tta`` uses mmsegmentation's scales, whatever views the pipeline itself has.
    if len(scales) == 1:
        rule = f'the scale {scales[0]} of the test, as in mmsegmentation 0.x'
        views = _views(result, here, _scaled(scales[0], _RATIOS), True, transforms)
        result.tta = augmentation(path, views, _RATIOS, True, rule)
    if img_ratios is not None:
        check(len(scales) == 1, f'{path}.img_ratios', 'ratios belong to one img_scale')
        ratios = [img_ratios] if isinstance(img_ratios, (int, float)) else img_ratios
        scales = _scaled(scales[0], ratios)
    result.transforms += as_views(path, _views(result, here, scales, flip, transforms))


def _scaled(scale: tuple[int, int], ratios: Sequence[float]) -> list[tuple[int, int]]:
    return [(int(scale[0] * ratio), int(scale[1] * ratio)) for ratio in ratios]


def _views(
    result: SegPipeline, path: str, scales: list[tuple[int, int]], flip: bool, steps: Any
) -> list[list[Node]]:
    """The transforms of each view: the mirror image follows its original at each scale."""
    views = []
    for scale in scales:
        for prob in (0, 1) if flip else (0,):
            view = SegPipeline(training=False)
            settings = {'Resize': dict(img_scale=scale), 'RandomFlip': dict(prob=prob)}
            nodes = [check_typed(step, f'{path}[{i}]') for i, step in enumerate(steps)]
            taken = [Node(n.path, n | settings.get(n['type'], {})) for n in nodes]
            read_steps(view, taken, path, _STEPS, 'segmentation')
            views.append(view.transforms)
            result.norm = view.norm
    return views


_STEPS = {
    'LoadImageFromFile': _load_image,
    'LoadAnnotations': _load_annotations,
    'Resize': _resize,
    'RandomFlip': _random_flip,
    **STEPS_OF_BOTH,
    'Normalize': normalize,
    'Pad': _pad,
    'DefaultFormatBundle': _to_tensor,
    'ImageToTensor': _to_tensor,
    'Collect': _to_tensor,
    'MultiScaleFlipAug': _test_augmentation,
}
