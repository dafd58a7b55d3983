"""The language of the 2019 release and of mmdetection 1.x: its top level, for every task."""

from typing import Any

from hrdet.config.keys import split_keys
from hrdet.config.lower.detection import lower_detection
from hrdet.config.lower.training import lower_training
from hrdet.config.node import Node, as_nodes, check_choice, check_count, check_typed, read
from hrdet.config.run_config import RunConfig, Runtime
from hrdet.registry import ConfigError


def lower_release(config: dict[str, Any]) -> RunConfig:
    """The meaning of a config in this language."""
    values, warnings = split_keys(config)
    values = as_nodes(values)
    check_typed(values['model'], 'model')
    for section in ('evaluation', 'log_config', 'lr_config', 'dist_params'):
        if not isinstance(values[section], Node):
            raise ConfigError(f'{section}: a dict is wanted here, not {values[section]!r}')
    parts = lower_detection(values)
    warnings += parts.pop('warnings')
    runtime = _runtime(values)
    training = lower_training(values, warnings)
    return RunConfig(**parts, training=training, runtime=runtime, warnings=warnings)


def _runtime(values: Node) -> Runtime:
    workflow = [tuple(phase) for phase in values['workflow']]
    if workflow != [('train', 1)]:
        raise ConfigError(
            f"workflow: only [('train', 1)] exists, not {workflow!r}; evaluation=dict(interval=1) "
            f'evaluates after every epoch'
        )
    check_choice(values['log_level'], ('DEBUG', 'INFO', 'WARNING', 'ERROR'), 'log_level')
    if values['seed'] is not None:
        check_count(values['seed'], 'seed', least=0)
    for name in ('cudnn_benchmark', 'channels_last'):
        check_choice(values[name], (True, False), name)
    if not isinstance(values['compile'], Node):  # of options for torch.compile
        check_choice(values['compile'], (True, False), 'compile')
    for name in ('work_dir', 'load_from', 'resume_from'):
        if not isinstance(values[name], (str, type(None))):
            raise ConfigError(f'{name}: a path or None is wanted here, not {values[name]!r}')
    names = ('work_dir', 'load_from', 'resume_from', 'seed', 'log_level')
    switches = ('cudnn_benchmark', 'channels_last', 'compile')
    return Runtime(
        pretrained=values['model'].get('pretrained'),
        backend=read(_dist_params, values['dist_params'], 'dist_params'),
        **{name: values[name] for name in (*names, *switches)},
    )


def _dist_params(path: str, *, backend: str = 'nccl', port: int | None = None) -> str:
    check_choice(backend, ('nccl', 'gloo', 'mpi'), f'{path}.backend')
    return backend
