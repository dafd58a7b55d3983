"""The language of the 2019 release and of mmdetection 1.x: its top level, for every task."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from hrdet.config.lower.detection import lower_detection
from hrdet.config.lower.dialects import foreign_key
from hrdet.config.lower.training import lower_training
from hrdet.config.node import Node, as_nodes, check, check_typed, keys_of, read
from hrdet.config.run_config import RunConfig, Runtime
from hrdet.registry import ConfigError

RUNTIME = [f.name for f in fields(Runtime) if f.name not in ('pretrained', 'backend')]
_TASK = keys_of(lower_detection)
TRAINING = keys_of(lower_training, ['warnings'])
KEYS = tuple(dict.fromkeys([*_TASK, *TRAINING, *RUNTIME, 'workflow', 'dist_params']))

# Variables that config files of every language commonly define for their own use.
_HELPERS = (
    *('dataset_type', 'data_root', 'metainfo', 'num_classes', 'backend_args', 'file_client_args'),
    *('img_norm_cfg', 'norm_cfg', 'conv_cfg', 'crop_size', 'img_scale', 'img_ratios'),
    *('train_pipeline', 'val_pipeline', 'test_pipeline', 'max_epochs', 'max_iters'),
    *('dataset_train', 'dataset_aug'),
)


def read_config(config: Mapping[str, Any]) -> RunConfig:
    """Lower a config in this language."""
    warnings = check_names(config, (*KEYS, 'custom_imports'), 'release')
    values = as_nodes({key: config[key] for key in KEYS if key in config})
    check_typed(values.get('model'), 'model')
    task = read(lower_detection, part(values, _TASK), '')
    warnings += task.pop('warnings')
    training = read(lower_training, part(values, TRAINING), '', warnings=warnings)
    runtime = read_runtime(values, values['model'].get('pretrained'))
    return RunConfig(**task, training=training, runtime=runtime, warnings=warnings)


def part(values: Node, keys: list[str]) -> dict[str, Any]:
    """The values of ``keys``, as far as they are present."""
    return {key: values[key] for key in keys if key in values}


def read_runtime(values: Node, pretrained: str | None) -> Runtime:
    """The settings of a program in the top level of a config; checks ``workflow``, too."""
    if 'workflow' in values:
        _check_workflow(values['workflow'])
    runtime = Node('', part(values, RUNTIME), pretrained=pretrained)
    if 'dist_params' in values:
        runtime['backend'] = read(_dist_params, values['dist_params'], 'dist_params')
    return read(Runtime, runtime, '')


def _check_workflow(workflow: Any) -> None:
    """Raise a ConfigError unless it only trains."""
    only = (
        f"only [('train', 1)] exists, not {workflow!r}; evaluation=dict(interval=1) evaluates "
        f'after every epoch'
    )
    trains = [['train', 1]], [('train', 1)], (('train', 1),), (['train', 1],)
    check(workflow in trains, 'workflow', only)


def _dist_params(
    path: str, *, backend: Literal['nccl', 'gloo', 'mpi'] = 'nccl', port: int | None = None
) -> str:
    """``dist_params``: the backend of torch.distributed; launchers choose the port."""
    return backend


def check_names(names: Iterable[str], keys: Sequence[str], language: str) -> list[str]:
    """Check the top-level names of a config, of any language; returns warnings.

    A config file keeps every variable that it defines, so an unknown name may be a helper variable
    or a misspelt key.  A name that resembles a key is an error; any other gives a warning, unless
    it is a common helper variable or starts with an underscore.

    Raises:
        ConfigError: a name that resembles a key, or a key of another language.
    """
    warnings = []
    for name in names:
        if name in keys or name in _HELPERS or name.startswith('_'):
            continue
        _check_name(name, keys, language)
        warnings.append(f'{name}: not a key of the config language; taken for a helper variable')
    return warnings


def _check_name(name: str, keys: Sequence[str], language: str) -> None:
    found = foreign_key(name, language)
    if found:
        raise ConfigError(f'{name}: {found}')
    similar = difflib.get_close_matches(name, keys, n=1, cutoff=0.8)
    if similar:
        raise ConfigError(
            f'{name}: there is no such key; did you mean {similar[0]!r}? If it is a variable '
            f'of your own, begin its name with an underscore. Accepted: {", ".join(keys)}'
        )
