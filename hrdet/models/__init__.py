"""Models: what turns a batch of images into losses or results, from backbones to detectors.

May change: a model stands on ``BaseModel``; a backbone, neck or head is a class in its own file
with a registered name.  Must stay: names of parameters, which are those of published checkpoints,
and modules that know neither config nor files.
"""

from typing import Any

import hrdet.losses
import hrdet.matching  # noqa: F401
from hrdet.models import (
    backbones,
    classifiers,
    detectors,
    heads,
    necks,
    preprocess,
    roi,
    segmentors,
)
from hrdet.models.build import build_model

__all__ = [
    'backbones',
    'build_model',
    'classifiers',
    'detectors',
    'heads',
    'necks',
    'preprocess',
    'roi',
    'segmentors',
]


def __getattr__(name: str) -> Any:
    """``hrdet.models.optimize``, where the function was before it had a package of its own."""
    if name == 'optimize':
        from hrdet.optimize import optimize

        return optimize
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
