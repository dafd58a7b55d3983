"""The config languages: load a file, check it, and lower it to the settings that are built and run.

May change: another language is a reader in ``lower`` that gives the same settings.  Must stay:
every value knows the file and line that wrote it, an error names path, file and cure, and no torch
is imported.
"""

from hrdet.config.config import Config, values_of
from hrdet.config.load import load_config
from hrdet.config.lower import lower
from hrdet.config.lower.lowered import lowered_text
from hrdet.config.node import Node
from hrdet.config.run_config import (
    RunConfig,
    Runtime,
    Training,
    check_num_classes,
    loader_options,
    with_num_classes,
)

__all__ = [
    'Config',
    'Node',
    'RunConfig',
    'Runtime',
    'Training',
    'check_num_classes',
    'load_config',
    'loader_options',
    'lower',
    'lowered_text',
    'values_of',
    'with_num_classes',
]
