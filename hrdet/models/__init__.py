"""Models: importing this package makes every part of them known to the registry."""

import hrdet.losses
import hrdet.matching  # noqa: F401
from hrdet.models import backbones, detectors, heads, necks, preprocess, roi

__all__ = ['backbones', 'detectors', 'heads', 'necks', 'preprocess', 'roi']
