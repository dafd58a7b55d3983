"""Object detection as mmdetection 3 writes it: data sets, pipelines and metrics."""

from functools import partial
from typing import Any, Literal

from hrdet.config.lower.data import Splits
from hrdet.config.lower.detection import coco_evaluator
from hrdet.config.lower.mmdet3_steps import detection_steps
from hrdet.config.lower.nested_detection import lower_nested, translated
from hrdet.config.lower.pipeline import from_steps
from hrdet.config.lower.transforms import Context, ThreeNumbers, tta_node
from hrdet.config.node import Node, check, read
from hrdet.ranges import Count, NotNegative


def lower_mmdet3(model: Node, splits: Splits) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data, and ``warnings``.

    ``model`` holds ``data_preprocessor``; the evaluators of the splits are read already.
    """
    section = model['data_preprocessor']
    check(section is not None, 'model.data_preprocessor', 'this key is required')
    # In mmdetection 1 normalising and padding are the last steps of a pipeline.
    last = read(_preprocessor, section, section.path)
    roi_head = model.get('roi_head')
    if isinstance(roi_head, Node) and roi_head.get('semantic_head') is not None:
        last.append(Node(section.path, type='SegRescale', scale_factor=1 / 8))
    flat = {}
    for name, split in splits.items():
        images = partial(read, _images, training=name == 'train', last=last)
        flat[name] = translated(split, images, ('ignore_keys', 'lazy_init'))
    lowered = lower_nested(model, flat, ((r'\.img_scale$', '.scale'), (r'\.flip_ratio$', '.prob')))
    for name, split in splits.items():
        if split.get('tta') is not None:
            lowered[name]['tta'] = _augmented(split['tta'], last)
    return lowered


def _augmented(views: list[list[Node]], last: list[Node]) -> Node:
    """The node ``tta``: what ``--tta`` of tools/test.py uses."""
    path, context = views[0][0].path, Context('continuous')
    pipelines = [
        read(from_steps, dict(pipeline=detection_steps(steps, path, last)), path, context=context)
        for steps in views
    ]
    return tta_node(path, [pipeline.transforms for pipeline in pipelines])


def coco_metric(
    path: str,
    *,
    type: Literal['CocoMetric'],
    ann_file: str | None = None,
    metric: str | list[str] = 'bbox',
    format_only: Literal[False] = False,
    classwise: bool = False,
    backend_args: None = None,
) -> Node:
    """The evaluator; metrics of each class are always written."""
    return coco_evaluator(path, metric=metric).replaced(ann_file=ann_file)


def _preprocessor(
    path: str,
    *,
    type: Literal['DetDataPreprocessor'],
    mean: ThreeNumbers,
    std: ThreeNumbers,
    bgr_to_rgb: bool = False,
    rgb_to_bgr: Literal[False] = False,
    pad_size_divisor: Count = 1,
    pad_value: Literal[0] = 0,
    pad_mask: bool = False,
    mask_pad_value: Literal[0] = 0,
    pad_seg: bool = False,
    seg_pad_value: Literal[255] = 255,
    boxtype2tensor: Literal[True] = True,
    non_blocking: bool = False,
    batch_augments: None = None,
) -> list[Node]:
    """The steps that normalise and pad; masks and semantic maps are padded with their images."""
    norm = Node(path, type='Normalize', mean=mean, std=std, to_rgb=bgr_to_rgb)
    return [norm, Node(path, type='Pad', size_divisor=pad_size_divisor)]


def _images(
    path: str,
    *,
    type: str,
    data_root: str | None = None,
    ann_file: str,
    data_prefix: Node | None = None,
    filter_cfg: Node | None = None,
    metainfo: Node | None = None,
    pipeline: list[Node],
    test_mode: bool = False,
    backend_args: None = None,
    lazy_init: Literal[False] = False,
    training: bool,
    last: list[Node],
    **rest: Any,
) -> Node:
    values = {} if data_root is None else dict(data_root=data_root)
    values |= read(_prefixes, data_prefix or {}, f'{path}.data_prefix')
    # mmdetection 3 filters images only on request, the 2019 language by default.
    filters = read(_filters, filter_cfg or {}, f'{path}.filter_cfg')
    values |= filters if training else {}  # a test takes every image
    if metainfo is not None:
        values |= read(_metainfo, metainfo, f'{path}.metainfo')
    steps = detection_steps(pipeline, f'{path}.pipeline', last)
    return Node(path, rest, type=type, ann_file=ann_file, pipeline=steps, **values)


def _prefixes(
    path: str,
    *,
    img: str | None = None,
    img_path: str | None = None,
    seg: str | None = None,
    sub_data_root: str | None = None,
) -> dict[str, str]:
    """Folders of images and of semantic maps; of VOC the folder of both kinds of files."""
    images = [folder for folder in (img, img_path, sub_data_root) if folder is not None]
    check(len(images) <= 1, path, 'img, img_path and sub_data_root say the same here: keep one')
    found = dict(img_prefix=images[0]) if images else {}
    return found if seg is None else found | dict(seg_prefix=seg)


def _filters(
    path: str,
    *,
    filter_empty_gt: bool = False,
    min_size: NotNegative = 0,
    bbox_min_size: None = None,
) -> dict[str, Any]:
    found = dict(filter_empty=filter_empty_gt, min_size=min_size)
    defaults = dict(filter_empty=True, min_size=32)
    return {key: value for key, value in found.items() if value != defaults[key]}


def _metainfo(path: str, *, classes: Any = None, palette: Any = None) -> dict[str, Any]:
    """Colours of classes are for pictures, which choose their own."""
    names = (classes,) if isinstance(classes, str) else classes
    return {} if names is None else dict(classes=names)
