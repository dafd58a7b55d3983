"""The language of the 2019 release and of mmdetection 1.x: its top level, for every task."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from hrdet.config.lower.data import Splits
from hrdet.config.lower.detection import coco_evaluator, lower_detection
from hrdet.config.lower.dialects import foreign_key
from hrdet.config.lower.training import lower_training
from hrdet.config.node import Node, as_nodes, check, check_typed, keys_of, read
from hrdet.config.run_config import RunConfig, Runtime
from hrdet.ranges import Count, Natural
from hrdet.registry import ConfigError

RUNTIME = [f.name for f in fields(Runtime) if f.name not in ('pretrained', 'backend')]
TRAINING = keys_of(lower_training, ['warnings'])
_BESIDE_MODEL = ('train_cfg', 'test_cfg', 'classes')
KEYS = ('model', 'data', *_BESIDE_MODEL, *TRAINING, *RUNTIME, 'workflow', 'dist_params')

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
    evaluation = values.get('evaluation')
    evaluator = read(coco_evaluator, {} if evaluation is None else evaluation, 'evaluation')
    splits = read(_data, values.get('data'), 'data', evaluator=evaluator)
    task = lower_detection(values['model'], splits, *(values.get(key) for key in _BESIDE_MODEL))
    warnings += task.pop('warnings')
    training = read(lower_training, part(values, TRAINING), '', warnings=warnings)
    runtime = read_runtime(values, values['model'].get('pretrained'))
    return RunConfig(**task, training=training, runtime=runtime, warnings=warnings)


def _data(
    path: str,
    *,
    imgs_per_gpu: Count,
    workers_per_gpu: Natural = 2,
    test_imgs_per_gpu: Count = 1,
    pad_size: tuple[Count, Count] | None = None,
    train: Any = None,
    val: Any = None,
    test: Any = None,
    evaluator: Node,
) -> Splits:
    """The section ``data`` as splits."""
    training = dict(batch_size=imgs_per_gpu, pad_size=pad_size and tuple(pad_size))
    tests = dict(batch_size=test_imgs_per_gpu, evaluator=evaluator)
    options = dict(train=training, val=tests, test=tests)
    return {
        name: Node(f'{path}.{name}', dataset=section, num_workers=workers_per_gpu, **options[name])
        for name, section in dict(train=train, val=val, test=test).items()
        if section is not None
    }


def part(values: Node, keys: list[str]) -> dict[str, Any]:
    """The values of ``keys``, as far as they are present."""
    return {key: values[key] for key in keys if key in values}


def read_runtime(values: Node, pretrained: str | None) -> Runtime:
    """The settings of a program in the top level of a config; checks ``workflow``, too."""
    workflow = values.get('workflow', [('train', 1)])
    only = (
        f"only [('train', 1)] exists, not {workflow!r}; evaluation=dict(interval=1) evaluates "
        f'after every epoch'
    )
    trains = [['train', 1]], [('train', 1)], (('train', 1),), (['train', 1],)
    check(workflow in trains, 'workflow', only)
    backend = read(_dist_params, values.get('dist_params', {}), 'dist_params')
    runtime = Node('', part(values, RUNTIME), pretrained=pretrained, backend=backend)
    return read(Runtime, runtime, '')


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
