"""Test-time augmentation: several views of one image."""

from collections.abc import Sequence

import numpy as np

from hrdet.data.transforms.geometry import Transform
from hrdet.registry import register
from hrdet.structures import Sample


@register('AugmentedViews', 'TakeViews')
class AugmentedViews:
    """The last step of a test with augmentation: one sample becomes V samples, one a view.

    Args:
        views: the transforms of each view (a resize to its scale, a flip, ...).
    """

    def __init__(self, views: Sequence[Sequence[Transform]]):
        self.views = views

    def __call__(self, sample: Sample, rng: np.random.Generator) -> list[Sample]:
        return [apply(view, sample, rng) for view in self.views]


def apply(
    transforms: Sequence[Transform | AugmentedViews], sample: Sample, rng: np.random.Generator
) -> Sample | list[Sample]:
    """A sample after its transforms; the list of its views after ``AugmentedViews``."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample
