"""Segmentation as mmsegmentation 1.x writes it: data sets with pipelines of steps."""

from functools import partial
from typing import Any, Literal

from hrdet.config.lower.data import Splits, lower_split
from hrdet.config.lower.segmentation import iou_evaluator, label_map_dataset, segmentor
from hrdet.config.lower.segmentation_steps import STEPS_OF_BOTH, SegPipeline, augmentation
from hrdet.config.lower.transforms import (
    ThreeNumbers,
    norm_node,
    read_scales,
    read_steps,
    tta_node,
)
from hrdet.config.node import Node, check, read
from hrdet.ranges import Positive


def lower_mmseg1(model: Node, splits: Splits) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data.

    ``model`` holds ``data_preprocessor``; the evaluators of the splits are lowered already.
    """
    section = model['data_preprocessor']
    check(section is not None, 'model.data_preprocessor', 'this key is required')
    # The preprocessor normalises; with a ``size`` it also pads training images to it.
    norm = read(_preprocessor, section, section.path)
    padding = section if section.get('size') is not None else None
    dataset = partial(_dataset, preprocessor=padding)
    lowered = {name: lower_split(name, split, dataset) for name, split in splits.items()}
    for name, split in splits.items():
        if split.get('tta') is not None:
            lowered[name]['tta'] = _augmented(split['tta'])
    rest = model.without('data_preprocessor')
    model = read(segmentor, rest, 'model', preprocess=norm, weighted_mean=True)
    return dict(model=model, **lowered)


def iou_metric(
    path: str,
    *,
    type: Literal['IoUMetric'],
    iou_metrics: str | list[str] = ('mIoU',),
    left_out: str | list[str] = (),
    ignore_index: Literal[255] = 255,
    nan_to_num: None = None,
    beta: Literal[1] = 1,
    output_dir: None = None,
    format_only: Literal[False] = False,
    prefix: str | None = None,
) -> Node:
    """The evaluator."""
    return iou_evaluator(path, 'iou_metrics', iou_metrics, left_out)


def _preprocessor(
    path: str,
    *,
    type: Literal['SegDataPreProcessor'],
    mean: ThreeNumbers,
    std: ThreeNumbers,
    bgr_to_rgb: bool = False,
    rgb_to_bgr: Literal[False] = False,
    size: Any = None,
    size_divisor: None = None,
    pad_val: Literal[0] = 0,
    seg_pad_val: Literal[255] = 255,
    batch_augments: None = None,
    test_cfg: None = None,
) -> Node:
    """How images are normalised; in training they are padded to ``size`` (h, w) afterwards."""
    return norm_node(path, mean=mean, std=std, to_rgb=bgr_to_rgb)


def _dataset(section: Node, training: bool, preprocessor: Node | None) -> Node:
    """A data set; ``preprocessor`` pads its images, if it is given."""
    path = section.path
    steps, here = section.get('pipeline'), f'{path}.pipeline'
    check(isinstance(steps, (list, tuple)), here, f'must be a list of steps, not {steps!r}')
    pipeline = SegPipeline(training)
    read_steps(pipeline, steps, here, _STEPS, 'segmentation')
    if training and preprocessor is not None:
        # The preprocessor pads after normalising, where 0 is the mean colour.
        pipeline.add(preprocessor.path, type='PadToSize', size=preprocessor['size'])
    return read(_folders, section.without('pipeline'), path, pipeline=pipeline)


def _folders(
    path: str,
    *,
    type: str,
    data_prefix: Node,
    ann_file: str | None = None,
    metainfo: Node | None = None,
    backend_args: None = None,
    lazy_init: Literal[False] = False,
    pipeline: SegPipeline,
    **rest: Any,
) -> Node:
    # Keys of mmsegmentation 0.x would otherwise pass through ``rest``.
    for key in ('img_dir', 'ann_dir', 'split', 'classes', 'palette'):
        check(key not in rest, f'{path}.{key}', f'there is no such key here{_ELSEWHERE[key]}')
    values = read(_prefixes, data_prefix, f'{path}.data_prefix')
    if ann_file:
        values['split'] = ann_file
    if metainfo is not None:
        values |= read(_metainfo, metainfo, f'{path}.metainfo')
    return read(label_map_dataset, Node(path, rest, type=type, **values), path, pipeline=pipeline)


_ELSEWHERE = {
    'img_dir': '; it is data_prefix.img_path',
    'ann_dir': '; it is data_prefix.seg_map_path',
    'split': '; it is ann_file',
    'classes': '; it is metainfo.classes',
    'palette': '; it is metainfo.palette',
}


def _prefixes(path: str, *, img_path: str, seg_map_path: str | None = None) -> dict[str, Any]:
    return dict(img_dir=img_path, ann_dir=seg_map_path)


def _metainfo(path: str, *, classes: Any = None, palette: Any = None) -> dict[str, Any]:
    return dict(classes=classes, palette=palette)


def _augmented(views: list[list[Node]]) -> Node:
    """The node ``tta``: what ``--tta`` of tools/test.py uses."""
    path, lowered, ratios, flip = views[0][0].path, [], [], False
    for steps in views:
        pipeline = SegPipeline(training=False)
        read_steps(pipeline, steps, path, _STEPS, 'segmentation')
        lowered.append(pipeline.transforms)
        for node in pipeline.transforms:
            flip |= node['type'] == 'RandomFlip'
            if node['type'] == 'ResizeByFactor' and node['factor'] not in ratios:
                ratios.append(node['factor'])
    rule = 'the size of the image, as in mmsegmentation 1.x'
    if not ratios:
        return tta_node(path, lowered)
    return augmentation(path, lowered, ratios, flip, rule)


# Steps of pipelines.


def _load_image(
    path,
    *,
    type,
    to_float32: bool = False,
    color_type: Literal['color'] = 'color',
    imdecode_backend: Literal['cv2'] = 'cv2',
    ignore_empty: bool = False,
    backend_args: None = None,
    result,
):
    """No transform: data sets load the images, which stay uint8."""


def _load_annotations(
    path,
    *,
    type,
    reduce_zero_label: bool | None = None,
    imdecode_backend: Literal['pillow'] = 'pillow',
    backend_args: None = None,
    result,
):
    result.load_labels(path, reduce_zero_label)


def _resize(
    path,
    *,
    type,
    scale: Any = None,
    scale_factor: Positive | None = None,
    keep_ratio: bool = False,
    result,
):
    one = 'give scale, a pair (w, h), or scale_factor'
    check((scale is None) != (scale_factor is None), f'{path}.scale', one)
    if scale_factor is None:
        result.resize(path, read_scales(scale, path), keep_ratio)
    else:
        result.add(path, type='ResizeByFactor', factor=scale_factor)


def _random_resize(
    path,
    *,
    type,
    scale: Any,
    ratio_range: tuple[float, float] | None = None,
    resize_type: Literal['Resize'] = 'Resize',
    keep_ratio: bool = False,
    result,
):
    result.resize(path, read_scales(scale, path), keep_ratio, 'range', ratio_range)


def _choose_resize(
    path,
    *,
    type,
    scales: list[Any],
    resize_type: Literal['Resize'] = 'Resize',
    keep_ratio: bool = False,
    result,
):
    result.resize(path, read_scales(scales, path), keep_ratio, 'value')


def _random_flip(path, *, type, prob: float | None = None, direction: str = 'horizontal', result):
    result.flip(path, prob, direction)


def _pad(path, *, type, size, pad_val: Any = None, size_divisor: None = None, result):
    """Before normalising: black, and labels that are ignored, unless ``pad_val`` says otherwise."""
    colours = dict(img=0, seg=255)
    if isinstance(pad_val, Node):
        colours |= read(_pad_values, pad_val, f'{path}.pad_val')
    elif pad_val is not None:
        colours['img'] = pad_val
    result.pad(path, size, colours['img'], colours['seg'])


def _pad_values(path, *, img=0, seg=255):
    return dict(img=img, seg=seg)


def _pack(path, *, type, meta_keys=(), result):
    """No transform: ``collate`` makes the tensors."""


_STEPS = {
    'LoadImageFromFile': _load_image,
    'LoadAnnotations': _load_annotations,
    'Resize': _resize,
    'RandomResize': _random_resize,
    'RandomChoiceResize': _choose_resize,
    'RandomFlip': _random_flip,
    **STEPS_OF_BOTH,
    'Pad': _pad,
    'PackSegInputs': _pack,
}
