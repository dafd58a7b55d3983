"""The earlier place of ``hrdet.zoo``."""

from hrdet.zoo import BACKBONES, MODELS, Published, cache_folder, resolve

__all__ = ['BACKBONES', 'MODELS', 'Published', 'cache_folder', 'resolve']
