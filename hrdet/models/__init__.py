"""Models: importing this package makes every part of them known to the registry."""

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
