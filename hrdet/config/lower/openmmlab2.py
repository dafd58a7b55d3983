"""OpenMMLab 2, the language of mmdetection 3, mmsegmentation 1.x, mmpretrain: its top level."""

from collections.abc import Mapping
from typing import Any

from hrdet.config.run_config import RunConfig
from hrdet.registry import ConfigError

KEYS = ('model', 'train_dataloader')


def read_config(config: Mapping[str, Any]) -> RunConfig:
    """The meaning of a config in this language."""
    raise ConfigError('model: configs of OpenMMLab 2 cannot be read yet')
