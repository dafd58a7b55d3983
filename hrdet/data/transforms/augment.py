"""Augmentations for classification: ColorJitter, RandAugment and RandomErasing.

Colours and policies use Pillow's operations, as timm, torchvision and mmpretrain do.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hrdet.data.transforms.geometry import Transform
from hrdet.data.transforms.policies import POLICIES, Policy, operate
from hrdet.ranges import (
    Colour,
    Factors,
    NotNegative,
    Number,
    Positive,
    PositiveShare,
    Ratio,
    Ratios,
    Share,
    Tries,
)
from hrdet.registry import register
from hrdet.structures import Sample


@register()
class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue, in random order.

    Args:
        brightness: v draws the factor from max(0, 1 - v)..1 + v; a pair is the range itself.
        contrast: the same; the image is blended with its mean grey.
        saturation: the same; the image is blended with its grey picture.
        hue: v draws turns of the colour circle from -v..v, at most half of it; or a pair.
    """

    def __init__(
        self,
        brightness: NotNegative | Factors = 0.0,
        contrast: NotNegative | Factors = 0.0,
        saturation: NotNegative | Factors = 0.0,
        hue: NotNegative | tuple[Number, Number] = 0.0,
    ):
        self.ranges = {
            'brightness': _range('brightness', brightness, 1, (0, math.inf)),
            'contrast': _range('contrast', contrast, 1, (0, math.inf)),
            'saturation': _range('saturation', saturation, 1, (0, math.inf)),
            'hue': _range('hue', hue, 0, (-0.5, 0.5)),
        }

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        # Factors are drawn in a fixed order and applied in a random one.
        order = rng.permutation(4)
        steps = [
            (name, None if limits is None else rng.uniform(*limits))
            for name, limits in self.ranges.items()
        ]
        steps = [steps[i] for i in order]
        steps = [(name, value) for name, value in steps if value is not None]
        return replace(sample, image=operate(sample.image, steps)) if steps else sample


@register()
class RandAugment(Transform):
    """Random operations of one strength (Cubuk et al. 2019, in the variant of timm and mmpretrain).

    Args:
        policies: ``'timm_increasing'``, or the operations to draw from: (name, range) or, of those
            without a strength, (name, None).  Names as in ``timm_increasing``.
        num_policies: operations drawn for each image, with replacement.
        magnitude_level: strength, from 0 (the range's first number) to ``total_level`` (its last).
        magnitude_std: standard deviation of the strength; ``'inf'`` draws it from 0 to its level.
        total_level: the greatest strength.
        prob: how often a drawn operation is carried out.
        pad_val: grey level, or colour (B, G, R), of what is moved into the image.
        interpolation: ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
    """

    def __init__(
        self,
        policies: str | Sequence[tuple[str, Sequence[Number] | None]] = 'timm_increasing',
        num_policies: Tries = 2,
        magnitude_level: NotNegative = 9,
        magnitude_std: NotNegative | Literal['inf'] = 0.0,
        total_level: Positive = 10,
        prob: Share = 0.5,
        pad_val: Colour = 128,
        interpolation: str = 'bicubic',
    ):
        rows = POLICIES.get(policies) if isinstance(policies, str) else policies
        if rows is None:
            raise ValueError(f'policies is {" or ".join(map(repr, POLICIES))}, not {policies!r}')
        self.policies = [Policy(name, limits, pad_val, interpolation) for name, limits in rows]
        if magnitude_std != 'inf' and not (np.isreal(magnitude_std) and magnitude_std >= 0):
            raise ValueError(f"magnitude_std is a number or 'inf', not {magnitude_std!r}")
        self.num_policies = num_policies
        self.level, self.std, self.total_level = magnitude_level, magnitude_std, total_level
        self.prob = prob

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        steps = []
        for i in rng.integers(len(self.policies), size=self.num_policies):
            policy = self.policies[i]
            if rng.random() > self.prob:
                continue
            strength = self._draw(rng) if policy.limits is not None else 0.0
            steps.append((policy, policy.value(strength, rng)))
        return replace(sample, image=operate(sample.image, steps)) if steps else sample

    def _draw(self, rng: np.random.Generator) -> float:
        """A strength from 0 to 1."""
        if self.std == 'inf':
            return rng.uniform(0, self.level) / self.total_level
        if self.std > 0:
            level = rng.normal(self.level, self.std)
            return min(max(level, 0), self.total_level) / self.total_level
        return self.level / self.total_level


@register()
class RandomErasing(Transform):
    """Fill a random box (Zhong et al. 2017).

    Args:
        erase_prob: how often.
        min_area_ratio: least area of the box over the image's.
        max_area_ratio: greatest area of the box over the image's.
        aspect_range: height of the box over its width; drawn on a logarithmic scale.  One number
            stands for it and its inverse.
        mode: ``'const'`` fills with ``fill_color``, ``'rand'`` with noise.
        fill_color: grey level, or colour (B, G, R).
        fill_std: standard deviation of normal noise around ``fill_color``; None: uniform noise.
    """

    def __init__(
        self,
        erase_prob: Share = 0.5,
        min_area_ratio: PositiveShare = 0.02,
        max_area_ratio: PositiveShare = 0.4,
        aspect_range: Ratio | Ratios = (3 / 10, 10 / 3),
        mode: str = 'const',
        fill_color: Colour = 128,
        fill_std: Colour | None = None,
    ):
        if mode not in ('const', 'rand'):
            raise ValueError(f"mode is 'const' or 'rand', not {mode!r}")
        if not 0 < min_area_ratio <= max_area_ratio <= 1:
            raise ValueError(
                f'areas are shares of the image: 0 < min_area_ratio <= max_area_ratio <= 1, not '
                f'{min_area_ratio} and {max_area_ratio}'
            )
        if np.ndim(aspect_range) == 0:
            aspect_range = sorted((aspect_range, 1 / aspect_range))
        self.erase_prob = erase_prob
        self.areas = (min_area_ratio, max_area_ratio)
        self.log_aspects = tuple(math.log(aspect) for aspect in aspect_range)
        self.mode, self.fill_color, self.fill_std = mode, fill_color, fill_std

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() > self.erase_prob:
            return sample
        image = sample.image.copy()
        height, width = image.shape[:2]
        # A box of random proportions and area, cut to the image, at a random place.
        aspect = math.exp(rng.uniform(*self.log_aspects))
        area = height * width * rng.uniform(*self.areas)
        h = min(round(math.sqrt(area * aspect)), height)
        w = min(round(math.sqrt(area / aspect)), width)
        top = int(rng.integers(0, height - h)) if height > h else 0
        left = int(rng.integers(0, width - w)) if width > w else 0
        image[top : top + h, left : left + w] = self._filling((h, w, 3), rng)
        return replace(sample, image=image)

    def _filling(self, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
        if self.mode == 'const':
            return np.asarray(self.fill_color, np.uint8)
        if self.fill_std is None:
            return rng.uniform(0, 256, shape).astype(np.uint8)
        return rng.normal(self.fill_color, self.fill_std, shape).clip(0, 255).astype(np.uint8)


def _range(
    name: str, value: float | Sequence[float], centre: float, bounds: tuple[float, float]
) -> tuple[float, float] | None:
    """The range of a factor, cut to its bounds; None where it changes nothing."""
    if np.ndim(value) == 0:
        if value < 0:
            raise ValueError(f'{name} as one number is 0 or more, not {value}')
        value = (centre - value, centre + value)
    low, high = (min(max(float(v), bounds[0]), bounds[1]) for v in value)
    if low > high:
        raise ValueError(f'{name} is a pair (smallest, largest), not {tuple(value)}')
    return None if low == high == centre else (low, high)
