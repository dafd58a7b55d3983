"""The names at the top level of a config."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from hrdet.registry import ConfigError

# Fields of mmengine's Runner, and the keys that say the same here.
_ELSEWHERE = {
    'train_dataloader': 'data.train',
    'val_dataloader': 'data.val',
    'test_dataloader': 'data.test',
    'val_cfg': 'evaluation',
    'optim_wrapper': 'optimizer, optimizer_config and amp',
    'param_scheduler': 'lr_config',
    'val_evaluator': 'evaluation',
    'test_evaluator': 'evaluation',
    'default_hooks': 'checkpoint_config, log_config and evaluation; custom_hooks for your own',
    'resume': 'resume_from, or --auto-resume of tools/train.py',
    'env_cfg': 'cudnn_benchmark and dist_params',
    'log_processor': 'log_config',
    'visualizer': "trackers, such as [dict(type='TensorBoard')]",
    'vis_backends': "trackers, such as [dict(type='TensorBoard')]",
    'default_scope': 'nothing: leave it out',
    'randomness': 'seed, and --deterministic of tools/train.py',
    'experiment_name': 'work_dir',
}

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


def check_names(config: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Check the names at the top of a config in the 2019 language; returns warnings.

    A config file keeps every variable it defines, so an unknown name may be a helper or a typing
    mistake.  One that resembles a key is taken for a mistake; of any other there is a warning,
    unless it is one of the usual helpers or starts with an underscore.

    Raises:
        ConfigError: a name that resembles a key, or one of mmengine's Runner.
    """
    warnings = []
    for name in config:
        if name in keys or name in _HELPERS or name.startswith('_'):
            continue
        if name in _ELSEWHERE:
            raise ConfigError(f"{name}: a key of mmengine's; write {_ELSEWHERE[name]} instead")
        similar = difflib.get_close_matches(name, keys, n=1, cutoff=0.8)
        if similar:
            raise ConfigError(
                f'{name}: there is no such key; did you mean {similar[0]!r}? If it is a variable '
                f'of your own, begin its name with an underscore. Accepted: {", ".join(keys)}'
            )
        warnings.append(f'{name}: not a key of the config language; taken for a helper variable')
    return warnings
