"""Models: importing this package makes every part of them known to the registry."""

from hrdet.models import backbones, necks, preprocess

__all__ = ['backbones', 'necks', 'preprocess']
