"""Translate steps of classification pipelines (mmcls 0.x, mmpretrain) to transforms."""

from hrdet.config.lower.transforms import normalize
from hrdet.config.node import check, check_choice, read


def _load_image(
    path, *, type, to_float32=False, color_type='color', imdecode_backend='cv2',
    file_client_args=None, backend_args=None, ignore_empty=False, result
):  # fmt: skip
    """No transform: data sets load the images, which stay uint8."""
    check_choice(color_type, ('color',), f'{path}.color_type')
    check_choice(imdecode_backend, ('cv2',), f'{path}.imdecode_backend')


def _resized_crop(path, *, type, scale, result, **rest):
    result.add(path, rest, type=type, scale=scale)


def _resized_crop_1(
    path, *, type, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), max_attempts=10,
    interpolation='bilinear', backend='cv2', result
):  # fmt: skip
    result.add(
        path,
        type=type,
        scale=size,
        crop_ratio_range=scale,
        aspect_ratio_range=ratio,
        max_attempts=max_attempts,
        interpolation=interpolation,
        backend=backend,
    )


def _random_flip(path, *, type, prob=None, direction='horizontal', result):
    check_choice(direction, ('horizontal',), f'{path}.direction')
    if prob:
        result.add(path, type=type, ratio=prob)


def _random_flip_1(path, *, type, flip_prob=0.5, direction='horizontal', result):
    _random_flip(path, type=type, prob=flip_prob, direction=direction, result=result)


def _resize(
    path, *, type, scale, keep_ratio=False, backend='cv2', interpolation='bilinear', result
):  # fmt: skip
    """To a size (w, h), or one number for both."""
    check_choice(backend, ('cv2',), f'{path}.backend')
    check_choice(interpolation, ('bilinear',), f'{path}.interpolation')
    # exact_scale: the size is reached exactly, and coordinates follow the ratio of whole pixels.
    scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
    result.add(path, type=type, scales=[scale], keep_ratio=keep_ratio, exact_scale=True)


def _resize_1(path, *, type, size, interpolation='bilinear', backend='cv2', result):
    """``(256, -1)`` is the length of the shorter edge; (h, w) is a size."""
    if isinstance(size, (list, tuple)) and len(size) == 2 and size[1] == -1:
        options = dict(interpolation=interpolation, backend=backend)
        result.add(path, type='ResizeEdge', scale=size[0], edge='short', **options)
        return
    # mmcls 0.x has (h, w), mmpretrain and hrdet's transforms have (w, h).
    pair = size if isinstance(size, (list, tuple)) else (size, size)
    options = dict(interpolation=interpolation, backend=backend)
    _resize(path, type=type, scale=tuple(pair)[::-1], **options, result=result)


def _rand_augment(
    path, *, type, policies='timm_increasing', num_policies, magnitude_level, magnitude_std=0.0,
    total_level=10, hparams=None, result
):  # fmt: skip
    """``hparams`` are arguments of all operations."""
    options = {} if hparams is None else read(_hparams, hparams, f'{path}.hparams')
    result.add(
        path,
        type=type,
        policies=policies,
        num_policies=num_policies,
        magnitude_level=magnitude_level,
        magnitude_std=magnitude_std,
        total_level=total_level,
        **options,
    )


def _hparams(path, *, pad_val=None, interpolation=None):
    values = dict(pad_val=pad_val, interpolation=interpolation)
    return {name: value for name, value in values.items() if value is not None}


def _colour_jitter(path, *, type, backend='pillow', result, **rest):
    check_choice(backend, ('pillow',), f'{path}.backend')
    result.add(path, rest, type=type)


def _pack(path, *, type, input_key='img', algorithm_keys=(), meta_keys=(), result):
    """No transform: ``collate`` makes the tensors."""


def _format(path, *, type, keys=(), meta_keys=(), result):
    """No transform: ``collate`` makes the tensors."""


def _unsupported(path, *, type, result, **rest):
    check(False, f'{path}.type', f'{type!r} does not exist for classification; {_STEP_NAMES}')


_STEP_NAMES = (
    'there are RandomResizedCrop, ResizeEdge, Resize, CenterCrop, RandomFlip, ColorJitter, '
    'RandAugment and RandomErasing'
)
_BOTH = {
    'LoadImageFromFile': _load_image,
    'RandAugment': _rand_augment,
    'ColorJitter': _colour_jitter,
    **dict.fromkeys(('RandomCrop', 'Pad', 'Expand', 'PhotoMetricDistortion'), _unsupported),
}
STEPS = {
    'openmmlab1': _BOTH
    | {
        'RandomResizedCrop': _resized_crop_1,
        'RandomFlip': _random_flip_1,
        'Resize': _resize_1,
        'Normalize': normalize,
        **dict.fromkeys(('ImageToTensor', 'ToTensor', 'Collect'), _format),
    },
    'openmmlab2': _BOTH
    | {
        'RandomResizedCrop': _resized_crop,
        'RandomFlip': _random_flip,
        'Resize': _resize,
        'Normalize': _unsupported,
        **dict.fromkeys(('PackInputs', 'PackClsInputs'), _pack),
    },
}
