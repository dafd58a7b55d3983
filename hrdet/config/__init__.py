"""The config language: load it, check it, and lower it to what is built and run."""

from hrdet.config.classes import check_num_classes, with_num_classes
from hrdet.config.load import CfgOptions, load_config
from hrdet.config.lower import Lowered, lower
from hrdet.config.node import Node

__all__ = [
    'CfgOptions',
    'Lowered',
    'Node',
    'check_num_classes',
    'load_config',
    'lower',
    'with_num_classes',
]
