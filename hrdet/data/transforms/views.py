"""Test-time augmentation: one image in several forms."""

from collections.abc import Sequence

import numpy as np

from hrdet.data.transforms.geometry import Transform
from hrdet.registry import register
from hrdet.structures import Sample


@register()
class TakeViews:
    """The last step of a test that looks at every image several times: one sample to V.

    Args:
        views: the transforms of each view (a resizing to its scale, a flip, ...).
    """

    def __init__(self, views: Sequence[Sequence[Transform]]):
        self.views = views

    def __call__(self, sample: Sample, rng: np.random.Generator) -> list[Sample]:
        return [apply(view, sample, rng) for view in self.views]


def apply(
    transforms: Sequence[Transform | TakeViews], sample: Sample, rng: np.random.Generator
) -> Sample | list[Sample]:
    """A sample after its transforms; one for each view where the last of them takes views."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample
