"""The language of the 2019 release and of mmdetection 1.x: its top level, for every task."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from hrdet.config.keys import check_names
from hrdet.config.lower.detection import lower_detection
from hrdet.config.lower.training import lower_training
from hrdet.config.node import Node, as_nodes, check, check_typed, keys_of, read
from hrdet.config.run_config import RunConfig, Runtime, typed

_RUNTIME = [f.name for f in fields(Runtime) if f.name not in ('pretrained', 'backend')]
_TASK = keys_of(lower_detection)
_TRAINING = keys_of(lower_training, ['warnings'])
KEYS = tuple(dict.fromkeys([*_TASK, *_TRAINING, *_RUNTIME, 'workflow', 'dist_params']))


def lower_release(config: Mapping[str, Any]) -> RunConfig:
    """The meaning of a config in this language."""
    warnings = check_names(config, (*KEYS, 'custom_imports'))
    values = as_nodes({key: config[key] for key in KEYS if key in config})
    check_typed(values.get('model'), 'model')
    task = read(lower_detection, _part(values, _TASK), '')
    warnings += task.pop('warnings')
    training = read(lower_training, _part(values, _TRAINING), '', warnings=warnings)
    workflow = values.get('workflow', [('train', 1)])
    only = (
        f"only [('train', 1)] exists, not {workflow!r}; evaluation=dict(interval=1) evaluates "
        f'after every epoch'
    )
    check([*map(tuple, workflow)] == [('train', 1)], 'workflow', only)
    runtime = Node('', _part(values, _RUNTIME), pretrained=values['model'].get('pretrained'))
    if 'dist_params' in values:
        runtime['backend'] = read(_dist_params, values['dist_params'], 'dist_params')
    runtime = typed(Runtime, runtime, '')
    return RunConfig(**task, training=training, runtime=runtime, warnings=warnings)


def _part(values: Node, keys: list[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}


def _dist_params(
    path: str, *, backend: Literal['nccl', 'gloo', 'mpi'] = 'nccl', port: int | None = None
) -> str:
    return backend
