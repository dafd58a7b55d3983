"""OpenMMLab 1, the language of mmdetection 2, mmsegmentation 0.x and mmcls 0.x: its top level."""

from collections.abc import Mapping
from typing import Any

from hrdet.config.run_config import RunConfig
from hrdet.registry import ConfigError

KEYS = ('model', 'data')


def read_config(config: Mapping[str, Any]) -> RunConfig:
    """The meaning of a config in this language."""
    raise ConfigError('model: configs of OpenMMLab 1 cannot be read yet')
