"""Models: importing this package makes every part of them known to the registry."""

import hrdet.losses
import hrdet.matching  # noqa: F401
from hrdet.models import backbones, detectors, heads, necks, preprocess, roi
from hrdet.models.build import build_model
from hrdet.models.optimize import optimize

__all__ = [
    'backbones',
    'build_model',
    'detectors',
    'heads',
    'necks',
    'optimize',
    'preprocess',
    'roi',
]
