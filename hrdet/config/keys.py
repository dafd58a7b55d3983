"""The names at the top level of a config."""

import difflib
from collections.abc import Mapping
from typing import Any

from hrdet.registry import ConfigError

# Keys of the config language with the values they have where a config leaves them out.
DEFAULTS: dict[str, Any] = {
    'model': None,
    'train_cfg': None,
    'test_cfg': None,
    'data': None,
    'classes': None,
    'optimizer': None,
    'optimizer_config': {},
    'lr_config': {'policy': 'fixed'},
    'total_epochs': None,
    'checkpoint_config': {},
    'log_config': {},
    'evaluation': {},
    'work_dir': None,
    'load_from': None,
    'resume_from': None,
    'workflow': [('train', 1)],
    'dist_params': {},
    'log_level': 'INFO',
    'cudnn_benchmark': False,
    'seed': None,
    'fp16': None,
    'amp': None,
    'ema': None,
    'channels_last': True,
    'compile': False,
    'auto_scale_lr': None,
    'custom_imports': None,
}

# Fields of mmengine's Runner whose names the language does not use itself; a config that sets one
# speaks to the Runner directly.
RUNNER_FIELDS = (
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_cfg',
    'optim_wrapper',
    'param_scheduler',
    'val_evaluator',
    'test_evaluator',
    'default_hooks',
    'custom_hooks',
    'resume',
    'env_cfg',
    'log_processor',
    'visualizer',
    'default_scope',
    'randomness',
    'experiment_name',
)

KEYS = (*DEFAULTS, *RUNNER_FIELDS)

# Variables that config files of this language commonly define for their own use.
_HELPERS = {
    'dataset_type',
    'data_root',
    'img_norm_cfg',
    'train_pipeline',
    'val_pipeline',
    'test_pipeline',
    'norm_cfg',
    'conv_cfg',
    'num_classes',
}


def split_keys(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The values of the language with defaults, the Runner fields, and warnings.

    A config file keeps every variable it defines, so an unknown name may be a helper or a typing
    mistake.  One that resembles a key is taken for a mistake; of any other there is a warning,
    unless it is one of the usual helpers or starts with an underscore.

    Raises:
        ConfigError: a name that resembles a key.
    """
    warnings = []
    for name in config:
        if name in KEYS or name in _HELPERS or name.startswith('_'):
            continue
        similar = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.8)
        if similar:
            raise ConfigError(
                f'{name}: there is no such key; did you mean {similar[0]!r}? If it is a variable '
                f'of your own, begin its name with an underscore. Accepted: {", ".join(KEYS)}'
            )
        warnings.append(f'{name}: not a key of the config language; taken for a helper variable')
    values = {key: config.get(key, default) for key, default in DEFAULTS.items()}
    return values, {key: config[key] for key in RUNNER_FIELDS if key in config}, warnings
