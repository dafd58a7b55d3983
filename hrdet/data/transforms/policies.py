"""Operations of ColorJitter and RandAugment on Pillow images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# The operations of timm's increasing strength and their values at strength 0 and 1.
POLICIES: dict[str, tuple[tuple[str, tuple[float, float] | None], ...]] = {
    'timm_increasing': (
        ('AutoContrast', None),
        ('Equalize', None),
        ('Invert', None),
        ('Rotate', (0, 30)),
        ('Posterize', (4, 0)),
        ('Solarize', (256, 0)),
        ('SolarizeAdd', (0, 110)),
        ('ColorTransform', (0, 0.9)),
        ('Contrast', (0, 0.9)),
        ('Brightness', (0, 0.9)),
        ('Sharpness', (0, 0.9)),
        ('ShearX', (0, 0.3)),
        ('ShearY', (0, 0.3)),
        ('TranslateX', (0, 0.45)),
        ('TranslateY', (0, 0.45)),
    )
}
_ENHANCERS = {
    'Brightness': 'Brightness',
    'Contrast': 'Contrast',
    'ColorTransform': 'Color',
    'Sharpness': 'Sharpness',
}
_GEOMETRIC = ('Rotate', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY')
_TONAL = ('AutoContrast', 'Equalize', 'Invert', 'Posterize', 'Solarize', 'SolarizeAdd')
_FILTERS = {'nearest': 0, 'bilinear': 2, 'bicubic': 3}  # PIL.Image.Resampling


@dataclass(frozen=True, slots=True)
class Policy:
    """One operation.

    Its value runs over ``limits``, and its sign is random where it may point either way.
    """

    name: str
    limits: Sequence[float] | None
    pad_val: float | Sequence[float] = 128  # grey, or (B, G, R)
    interpolation: str = 'bicubic'

    def __post_init__(self) -> None:
        known = (*_TONAL, *_GEOMETRIC, *_ENHANCERS)
        if self.name not in known:
            raise ValueError(f'there is no operation {self.name!r}; known: {", ".join(known)}')
        if (self.limits is None) != (self.name in ('AutoContrast', 'Equalize', 'Invert')):
            raise ValueError(f'{self.name} is given with limits {self.limits}')
        if self.interpolation not in _FILTERS:
            raise ValueError(
                f'interpolation is one of {", ".join(_FILTERS)}, not {self.interpolation!r}'
            )

    def value(self, strength: float, rng: np.random.Generator) -> float:
        """The operation's value at a strength from 0 to 1."""
        if self.limits is None:
            return 0.0
        # Between both limits; moves and enhancements may point either way.
        value = strength * (self.limits[1] - self.limits[0]) + self.limits[0]
        signed = self.name in _GEOMETRIC or self.name in _ENHANCERS
        return -value if signed and rng.random() < 0.5 else value


def operate(image: np.ndarray, steps: Sequence[tuple[str | Policy, float]]) -> np.ndarray:
    """An image (h, w, 3) uint8 BGR after operations in order.

    A step is a policy and its value, or one of ``'brightness'``, ``'contrast'``, ``'saturation'``
    with a factor, or ``'hue'`` with turns of the colour circle.
    """
    from PIL import Image  # slow to import

    # BGR to RGB, and back at the end.
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    for step, value in steps:
        if isinstance(step, Policy):
            picture = _apply_policy(picture, step, value)
        elif step == 'hue':
            picture = _turn_hue(picture, value)
        else:
            enhancer = 'Color' if step == 'saturation' else step.capitalize()
            picture = _enhance(picture, enhancer, value)
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])


def _apply_policy(picture: Any, policy: Policy, value: float) -> Any:
    from PIL import ImageOps

    # The value's meaning depends on the kind: a factor around 1, a move, or a tonal parameter.
    name = policy.name
    if name in _ENHANCERS:
        return _enhance(picture, _ENHANCERS[name], 1 + value)
    if name in _GEOMETRIC:
        return _move(picture, policy, value)
    if name == 'Posterize':
        return ImageOps.posterize(picture, math.ceil(value))
    if name == 'Solarize':
        return ImageOps.solarize(picture, value)
    if name == 'SolarizeAdd':  # below grey 128
        table = [min(int(level + value), 255) if level < 128 else level for level in range(256)]
        return picture.point(table * 3)
    operations = {
        'AutoContrast': ImageOps.autocontrast,
        'Equalize': ImageOps.equalize,
        'Invert': ImageOps.invert,
    }
    return operations[name](picture)


def _move(picture: Any, policy: Policy, value: float) -> Any:
    """Rotate by degrees, shear, or translate by a share of the edge."""
    from PIL import Image

    width, height = picture.size
    # BGR to Pillow's RGB.
    filling = np.broadcast_to(policy.pad_val, 3)[::-1].astype(int).tolist()
    options = {'resample': _FILTERS[policy.interpolation], 'fillcolor': tuple(filling)}
    if policy.name == 'Rotate':
        return picture.rotate(value, **options)
    # (x, y) of the result comes from (a x + b y + c, d x + e y + f).
    matrix = {
        'ShearX': (1, value, 0, 0, 1, 0),
        'ShearY': (1, 0, 0, value, 1, 0),
        'TranslateX': (1, 0, value * width, 0, 1, 0),
        'TranslateY': (1, 0, 0, 0, 1, value * height),
    }[policy.name]
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, **options)


def _enhance(picture: Any, name: str, factor: float) -> Any:
    from PIL import ImageEnhance

    return getattr(ImageEnhance, name)(picture).enhance(factor)


def _turn_hue(picture: Any, turns: float) -> Any:
    from PIL import Image

    hue, saturation, value = picture.convert('HSV').split()
    turned = np.asarray(hue) + np.uint8(int(turns * 255) % 256)  # uint8: wraps around
    return Image.merge('HSV', (Image.fromarray(turned), saturation, value)).convert('RGB')
