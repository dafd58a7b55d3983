"""Detect the language of a config, and lower it to a RunConfig."""

import importlib
from collections.abc import Mapping
from typing import Any

from hrdet.config.config import origins_of
from hrdet.config.lower.dialects import explain
from hrdet.config.node import Node, check_choice
from hrdet.config.run_config import RunConfig
from hrdet.registry import ConfigError

# Each language has a module here, with ``KEYS``, its keys at the top, and ``read_config``.
LANGUAGES = ('release', 'openmmlab1', 'openmmlab2', 'lowered')
# Paths of keys that only some of the languages have.
_OLD = 'data optimizer optimizer_config lr_config'
_NESTED = (
    'model.roi_head model.rpn_head.anchor_generator model.decode_head model.head model.train_cfg '
    'model.test_cfg'
)
_PLACES = {
    'release': f'{_OLD} data.imgs_per_gpu model.bbox_roi_extractor model.rpn_head.anchor_scales',
    'openmmlab1': f'{_OLD} {_NESTED} runner data.samples_per_gpu data.train_dataloader',
    'openmmlab2': f'{_NESTED} train_dataloader val_dataloader test_dataloader optim_wrapper '
    'param_scheduler val_evaluator test_evaluator default_hooks default_scope data_preprocessor '
    'model.data_preprocessor train_cfg.by_epoch train_cfg.max_epochs train_cfg.max_iters val_cfg',
}


def language_of(config: Mapping[str, Any]) -> str:
    """The language that a config names; else the one that has most of its characteristic keys."""
    if 'language' in config:
        check_choice(config['language'], LANGUAGES, 'language')
        return config['language']
    # Each key that a language has counts for it: users mix in keys of other languages by mistake.
    votes = {
        language: sum(_has(config, place) for place in places.split())
        for language, places in _PLACES.items()
    }
    return max(votes, key=votes.get)  # the first one among equals


def _has(config: Any, place: str) -> bool:
    for key in place.split('.'):
        if not isinstance(config, Mapping) or key not in config:
            return False
        config = config[key]
    return True


def _module(config: Mapping[str, Any]) -> Any:
    return importlib.import_module(f'hrdet.config.lower.{language_of(config)}')


def keys_of_language(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The top-level keys of the config's language."""
    return (*_module(config).KEYS, 'language', 'custom_imports')


def lower(config: Mapping[str, Any]) -> RunConfig:
    """Lower a config (a Config, or a dict): one pass, checked strictly.

    Keys of parts that are built (heads, losses, transforms, ...) are checked against their
    constructors, by ``RunConfig.check`` and when they are built.

    Raises:
        ConfigError: an unknown or missing key, or an invalid value; the message names its path in
            the config, and the file and line that wrote it.
    """
    # Errors get their file and line here, or later from the nodes, when these are built.
    origins = origins_of(config)
    try:
        values = {key: value for key, value in config.items() if key != 'language'}
        run = _module(config).read_config(values)
    except ConfigError as error:
        if 'there is no such key' in str(error):
            explain(error, language_of(config))
        error.locate(origins)
        raise
    run.warnings += _doubts_about_pixels(run.model.get('preprocess'))
    others = [run.training.trackers, run.training.hooks] if run.training else []
    _set_origins([run.model, run.train, run.val, run.test, others], origins)
    return run


def _set_origins(section: Any, origins: Mapping[str, str]) -> None:
    if isinstance(section, Node):
        section.origins = origins
    if isinstance(section, (dict, list, tuple)):
        for part in section.values() if isinstance(section, dict) else section:
            _set_origins(part, origins)


def _doubts_about_pixels(preprocess: Any) -> list[str]:
    """Warnings about a mean that is of other channels, or of other numbers, than the pixels."""
    mean = preprocess.get('mean') if isinstance(preprocess, Node) else None
    if not isinstance(mean, (list, tuple)) or len(mean) != 3:
        return []
    # ImageNet's mean is (123.7, 116.3, 103.5) in RGB and the reverse in BGR.
    if preprocess.get('channel_order') == 'bgr' and mean[0] > mean[2] + 10:
        return [
            f'{preprocess.path}: to_rgb=False with the mean {tuple(mean)}, which looks like that '
            f'of RGB images: the model will see BGR. Weights trained on RGB need to_rgb=True'
        ]
    if preprocess.get('channel_order') == 'rgb' and mean[2] > mean[0] + 10:
        return [
            f'{preprocess.path}: to_rgb=True with the mean {tuple(mean)}, which looks like that '
            f'of BGR images: turn mean and std round, or set to_rgb=False for weights of BGR'
        ]
    if 0 < max(mean) <= 1:
        return [
            f'{preprocess.path}: the mean {tuple(mean)} looks like that of pixels from 0 to 1, but '
            f'they are from 0 to 255: multiply mean and std by 255'
        ]
    return []
