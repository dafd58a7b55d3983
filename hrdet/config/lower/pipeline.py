"""Translate image pipelines of mmdetection 1.x, lists of steps, to transforms."""

from typing import Any

from hrdet.config.lower.transforms import (
    Context,
    DetectionPipeline,
    Scale,
    expand_node,
    normalize,
    read_scales,
    read_steps,
)
from hrdet.config.node import Node, check, check_typed, read


def from_steps(
    path: str, *, pipeline: list[Node], context: Context, **rest: Any
) -> DetectionPipeline:
    """The steps of a data set's ``pipeline``, in their order.

    A step of an unknown type is a custom transform and is kept unchanged.
    """
    path = f'{path}.pipeline'
    check(isinstance(pipeline, (list, tuple)), path, f'must be a list, not {pipeline!r}')
    result = DetectionPipeline(context.training, context=context, rest=rest)
    if context.training:
        result.dataset = dict(with_crowd=False)
    read_steps(result, pipeline, path, _READERS)
    check(result.norm is not None, path, "there is no step dict(type='Normalize', ...)")
    return result


def _load_image(path, *, type, to_float32=False, result):
    """No transform: data sets load the images, which stay uint8."""


def _load_annotations(
    path,
    *,
    type,
    with_bbox=True,
    with_label=True,
    with_mask=False,
    with_seg=False,
    poly2mask=True,
    result,
):
    if result.training:
        for name, value in (('with_bbox', with_bbox), ('with_label', with_label)):
            check(value, f'{path}.{name}', 'a detector cannot train without boxes and labels')
        if with_mask:
            result.dataset['with_mask'] = True
        result.semantic = with_seg


def _load_proposals(path, *, type, num_max_proposals=None, result):
    if num_max_proposals is not None:
        result.dataset['num_max_proposals'] = num_max_proposals


def _resize(path, *, type, img_scale, multiscale_mode='range', keep_ratio=True, result):
    result.resize(path, img_scale, multiscale_mode, keep_ratio)


def _random_flip(path, *, type, flip_ratio=None, result):
    result.flip(path, flip_ratio)


def _pad(path, *, type, size_divisor, result):
    result.pad(path, size_divisor)


def _expand(path, *, type, result, **rest):
    result.transforms.append(read(expand_node, rest, path, context=result.context))


def _random_crop(path, *, type, result, **rest):
    given = {name: value for name, value in rest.items() if value is not None}
    result.add(path, given, **result.context.random_crop())


def _rand_resize_crop(path, *, type, result, **rest):
    result.add(path, rest, type=type, **result.context.exact_scale())


def _format(path, *, type, result):
    """No transform: ``collate`` makes the tensors."""


def _image_to_tensor(path, *, type, keys=(), result):
    """No transform: ``collate`` makes the tensors."""


def _collect(path, *, type, keys: list[str], meta_keys=(), result):
    if result.training:
        result.dataset['with_crowd'] = 'gt_bboxes_ignore' in keys


def _test_augmentation(path, *, type, img_scale, transforms, flip=False, result):
    check(
        not result.training,
        path,
        'test-time augmentation belongs to data.val and data.test',
    )
    # A setting that no inner step carries out would have no effect: an error.
    scales = read_scales(img_scale, path)
    kinds = [
        check_typed(step, f'{path}.transforms[{i}]')['type'] for i, step in enumerate(transforms)
    ]
    for name, value, kind in (
        ('img_scale', len(scales) > 1, 'Resize'),
        ('flip', flip, 'RandomFlip'),
    ):
        carried_out = f'needs a step dict(type={kind!r}) among the transforms'
        check(not value or kind in kinds, f'{path}.{name}', carried_out)

    def view(scale: Scale, flip_ratio: int) -> None:
        settings = {'Resize': dict(img_scale=scale), 'RandomFlip': dict(flip_ratio=flip_ratio)}
        steps = [Node(s.path, **s | settings.get(s['type'], {})) for s in transforms]
        read_steps(result, steps, f'{path}.transforms', _READERS)

    result.branch(path, scales, flip, view)


_READERS = {
    'LoadImageFromFile': _load_image,
    'LoadAnnotations': _load_annotations,
    'LoadProposals': _load_proposals,
    'Resize': _resize,
    'RandomFlip': _random_flip,
    'Normalize': normalize,
    'Pad': _pad,
    'Expand': _expand,
    'RandomCrop': _random_crop,
    'MinIoURandomCrop': _random_crop,
    'RandResizeCrop': _rand_resize_crop,
    'DefaultFormatBundle': _format,
    'ImageToTensor': _image_to_tensor,
    'Collect': _collect,
    'MultiScaleFlipAug': _test_augmentation,
}
