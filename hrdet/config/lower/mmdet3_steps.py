"""Translate steps of detection pipelines from mmdetection 3 to mmdetection 1."""

from typing import Any, Literal

from hrdet.config.lower.transforms import has_reader
from hrdet.config.node import Node, check, read
from hrdet.ranges import Count


def detection_steps(steps: Any, path: str, last: list[Node]) -> list[Node]:
    """The steps of a pipeline in the form of mmdetection 1, followed by the steps ``last``.

    Semantic maps are rescaled only where they are loaded.
    """
    found = []
    for i, step in enumerate(steps):
        if has_reader(step, f'{path}[{i}]', _STEPS, 'detection'):
            found += read(_STEPS[step['type']], step, step.path)
        else:
            found.append(step)
    maps = any(step.get('with_seg') for step in found)
    return found + [step for step in last if maps or step['type'] != 'SegRescale']


def _load_image(
    path,
    *,
    type,
    to_float32: bool = False,
    color_type: Literal['color'] = 'color',
    imdecode_backend: Literal['cv2'] = 'cv2',
    ignore_empty: bool = False,
    backend_args: None = None,
):
    return []


def _load_annotations(
    path,
    *,
    type,
    with_bbox: bool = True,
    with_label: bool = True,
    with_mask: bool = False,
    with_seg: bool = False,
    poly2mask: bool = True,
    box_type: Literal['hbox'] = 'hbox',
    imdecode_backend: Literal['cv2', 'pillow'] = 'cv2',
    backend_args: None = None,
):
    values = dict(with_bbox=with_bbox, with_label=with_label)
    return [Node(path, type=type, with_mask=with_mask, with_seg=with_seg, **values)]


def _resize(path, *, type, scale: Any, keep_ratio: bool = False):
    scale = (scale, scale) if isinstance(scale, int) else scale
    return [Node(path, type='Resize', img_scale=scale, keep_ratio=keep_ratio)]


def _random_resize(
    path,
    *,
    type,
    scale: Any,
    ratio_range: None = None,
    resize_type: Literal['Resize'] = 'Resize',
    keep_ratio: bool = False,
):
    """A random scale between two."""
    pairs = 'must be a list of two pairs (w, h)'
    two = isinstance(scale, (list, tuple)) and len(scale) == 2
    check(two and all(isinstance(s, (list, tuple)) for s in scale), f'{path}.scale', pairs)
    scales = [tuple(pair) for pair in scale]
    options = dict(multiscale_mode='range', keep_ratio=keep_ratio)
    return [Node(path, type='Resize', img_scale=scales, **options)]


def _choose_resize(
    path,
    *,
    type,
    scales: list[Any],
    resize_type: Literal['Resize'] = 'Resize',
    keep_ratio: bool = False,
):
    """One of several scales."""
    options = dict(multiscale_mode='value', keep_ratio=keep_ratio)
    return [Node(path, type='Resize', img_scale=[tuple(scale) for scale in scales], **options)]


def _random_flip(
    path, *, type, prob: float | None = None, direction: Literal['horizontal'] = 'horizontal'
):
    return [Node(path, type=type, flip_ratio=prob)]


def _pad(path, *, type, size_divisor: Count):
    return [Node(path, type=type, size_divisor=size_divisor)]


def _expand(path, *, type, mean, to_rgb=True, ratio_range=(1, 4), prob: Literal[0.5] = 0.5):
    return [Node(path, type=type, mean=mean, to_rgb=to_rgb, ratio_range=ratio_range)]


def _unchanged(path, *, type, **rest):
    return [Node(path, rest, type=type)]


def _pack(path, *, type, meta_keys: Any = ()):
    """Crowds are loaded, and ignored by assigners that ask for them."""
    keys = ('img', 'gt_bboxes', 'gt_labels', 'gt_bboxes_ignore')
    return [Node(path, type='Collect', keys=list(keys))]


_STEPS = {
    'LoadImageFromFile': _load_image,
    'LoadAnnotations': _load_annotations,
    'Resize': _resize,
    'RandomResize': _random_resize,
    'RandomChoiceResize': _choose_resize,
    'RandomFlip': _random_flip,
    'Pad': _pad,
    'Expand': _expand,
    'MinIoURandomCrop': _unchanged,
    'PhotoMetricDistortion': _unchanged,
    'PackDetInputs': _pack,
}
