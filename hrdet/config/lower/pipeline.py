"""Image pipelines as mmdetection 1.x writes them, as a list of steps, to transforms."""

from hrdet.config.lower.transforms import (
    Recipe,
    Scale,
    Surroundings,
    add_flip,
    exact_scale,
    expand_node,
    norm,
    random_crop_node,
    read_scales,
    resize_node,
)
from hrdet.config.node import Node, check, check_typed, read


def from_steps(path: str, *, pipeline: list[Node], around: Surroundings) -> Recipe:
    """The steps of a data set's ``pipeline``, in their order.

    A step of a type unknown here is a transform of the user's own and stays as it is.
    """
    path = f'{path}.pipeline'
    check(isinstance(pipeline, (list, tuple)), path, f'a list is wanted here, not {pipeline!r}')
    recipe = Recipe()
    if around.training:
        recipe.dataset = dict(with_crowd=False)
    _add_steps(recipe, pipeline, path, around)
    check(recipe.norm is not None, path, "there is no step dict(type='Normalize', ...)")
    early = any(node['type'] == 'AugmentedViews' for node in recipe.transforms[:-1])
    check(not early, path, 'MultiScaleFlipAug must be the last step')
    return recipe


def _add_steps(recipe: Recipe, steps: list[Node], path: str, around: Surroundings) -> None:
    for i, step in enumerate(steps):
        kind = check_typed(step, f'{path}[{i}]')['type']
        if kind in _READERS:
            read(_READERS[kind], step, step.path, recipe=recipe, around=around)
        else:
            recipe.transforms.append(step)


def _load_image(path, *, type, to_float32=False, recipe, around):
    """Every data set loads its images; they stay uint8."""


def _load_annotations(
    path,
    *,
    type,
    with_bbox=True,
    with_label=True,
    with_mask=False,
    with_seg=False,
    poly2mask=True,
    recipe,
    around,
):
    if around.training:
        for name, value in (('with_bbox', with_bbox), ('with_label', with_label)):
            check(value, f'{path}.{name}', 'a detector cannot train without boxes and labels')
        if with_mask:
            recipe.dataset['with_mask'] = True
        recipe.semantic = with_seg


def _load_proposals(path, *, type, num_max_proposals=None, recipe, around):
    if num_max_proposals is not None:
        recipe.dataset['num_max_proposals'] = num_max_proposals


def _resize(path, *, type, img_scale, multiscale_mode='range', keep_ratio=True, recipe, around):
    recipe.transforms.append(resize_node(path, img_scale, multiscale_mode, keep_ratio, around))


def _random_flip(path, *, type, flip_ratio=None, recipe, around):
    add_flip(recipe, path, flip_ratio, around)


def _normalize(path, *, type, mean, std, to_rgb=True, recipe, around):
    recipe.norm = norm(path, mean=mean, std=std, to_rgb=to_rgb, around=around)


def _pad(path, *, type, size_divisor, recipe, around):
    recipe.pad(path, size_divisor)


def _expand(path, *, type, mean=(0, 0, 0), to_rgb=True, ratio_range=(1, 4), recipe, around):
    arguments = dict(mean=mean, to_rgb=to_rgb, ratio_range=ratio_range)
    recipe.transforms.append(expand_node(path, **arguments, around=around))


def _random_crop(path, *, type, min_ious=None, min_crop_size=None, recipe, around):
    arguments = dict(min_ious=min_ious, min_crop_size=min_crop_size)
    given = {name: value for name, value in arguments.items() if value is not None}
    recipe.transforms.append(random_crop_node(path, given, around))


def _rand_resize_crop(path, *, type, scales, size, recipe, around):
    recipe.transforms.append(Node(path, type=type, scales=scales, size=size, **exact_scale(around)))


def _format(path, *, type, recipe, around):
    """Tensors are made when a batch is put together."""


def _image_to_tensor(path, *, type, keys=(), recipe, around):
    """Tensors are made when a batch is put together."""


def _collect(path, *, type, keys, meta_keys=(), recipe, around):
    if around.training:
        recipe.dataset['with_crowd'] = 'gt_bboxes_ignore' in keys


def _test_augmentation(path, *, type, img_scale, transforms, flip=False, recipe, around):
    check(not around.training, path, 'test-time augmentation belongs to data.val and data.test')
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
        _add_steps(recipe, steps, f'{path}.transforms', around)

    recipe.branch(path, scales, flip, view)


_READERS = {
    'LoadImageFromFile': _load_image,
    'LoadAnnotations': _load_annotations,
    'LoadProposals': _load_proposals,
    'Resize': _resize,
    'RandomFlip': _random_flip,
    'Normalize': _normalize,
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
