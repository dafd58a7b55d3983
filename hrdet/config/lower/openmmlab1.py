"""OpenMMLab 1 (mmdetection 2, mmsegmentation 0.x, mmcls 0.x): the top level of its configs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from hrdet.config.lower.classification import accuracy_of_mmcls, lower_classification
from hrdet.config.lower.data import Splits
from hrdet.config.lower.mmdet2 import coco_metrics, lower_mmdet2
from hrdet.config.lower.mmseg0 import lower_segmentation, mean_iou
from hrdet.config.lower.nested_detection import DETECTORS
from hrdet.config.lower.release import (
    RUNTIME,
    TRAINING,
    check_names,
    part,
    read_runtime,
)
from hrdet.config.lower.training import lower_training
from hrdet.config.node import Node, as_nodes, check, check_typed, read
from hrdet.config.run_config import RunConfig, Training
from hrdet.ranges import Count, Natural
from hrdet.registry import ConfigError, check_keys, nearest

# Settings without effect: key -> (the value that needs no warning, what hrdet does instead).
_FIXED = {
    'opencv_num_threads': (0, 'every worker of a loader has one thread'),
    'mp_start_method': ('fork', "workers start in torch's way"),
    'find_unused_parameters': (False, 'every parameter of a model gets a gradient'),
    'auto_resume': (None, 'hrdet train --auto-resume, the default, or --no-auto-resume'),
    'device': (None, 'the GPU is used where there is one; --gpus 0 takes the CPU'),
    'gpu_ids': (None, 'the launcher starts a process for each GPU'),
}
_SECTIONS = ('model', 'data', 'runner', 'train_cfg', 'test_cfg', 'workflow')
KEYS = tuple(dict.fromkeys([*_SECTIONS, *TRAINING, *RUNTIME, 'dist_params', *_FIXED]))


@dataclass(frozen=True, slots=True)
class _Task:
    """How to lower models, data and evaluator of one task."""

    lower: Callable[[Node, Splits], dict[str, Any]]
    evaluator: Callable[..., Node]  # reads ``evaluation``
    test_batch: int | None  # batch size of tests; None: that of training


_DETECTION = _Task(lower_mmdet2, coco_metrics, 1)
_TASKS = {
    **dict.fromkeys(DETECTORS, _DETECTION),
    'EncoderDecoder': _Task(lower_segmentation, mean_iou, 1),
    'ImageClassifier': _Task(
        partial(lower_classification, norm=None, language='openmmlab1'), accuracy_of_mmcls, None
    ),
}


def read_config(config: Mapping[str, Any]) -> RunConfig:
    """Lower a config in this language."""
    warnings = check_names(config, (*KEYS, 'custom_imports'), 'openmmlab1')
    values = as_nodes({key: config[key] for key in KEYS if key in config})
    # 1. Model and data, lowered by the task of the model.
    model = _with_cfgs(check_typed(values.get('model'), 'model'), values)
    model, pretrained = initial_weights(model, warnings)
    kind = model['type']
    if kind not in _TASKS:
        raise ConfigError(
            f'model.type: there is no model {kind!r}{nearest(kind, _TASKS)}; supported: '
            f'{", ".join(_TASKS)}'
        )
    runner = _length(values)
    task = _TASKS[kind]
    interval, metrics = _part_of_evaluation(values, runner, warnings)
    evaluator = read(task.evaluator, metrics, 'evaluation')
    context = dict(evaluator=evaluator, test_batch=task.test_batch)
    lowered = task.lower(model, read(_loaders, values.get('data'), 'data', **context))
    warnings += lowered.pop('warnings', [])
    # 2. Training and runtime settings.
    training = _training(values, runner, interval, warnings)
    for name, (value, reason) in _FIXED.items():
        if values.get(name) not in (None, value):
            warnings.append(f'{name}: has no effect here: {reason}')
    runtime = read_runtime(values, pretrained)
    return RunConfig(**lowered, training=training, runtime=runtime, warnings=warnings)


def _with_cfgs(model: Node, values: Node) -> Node:
    """The model with ``train_cfg`` and ``test_cfg``, which may stand beside it in the config."""
    for name in ('train_cfg', 'test_cfg'):
        if values.get(name) is not None:
            twice = f'model.{name} is there too; keep that one'
            check(model.get(name) is None, name, twice)
            model = model.replaced(**{name: values[name]})
    return model


def _length(values: Node) -> dict[str, int | None]:
    """The length of the run: ``total_epochs`` or ``total_iters``, or else from ``runner``."""
    length = {name: values.get(name) for name in ('total_epochs', 'total_iters')}
    if values.get('runner') is not None:
        check(not any(length.values()), 'runner', 'total_epochs or total_iters say it too')
        length = read(_runner, values['runner'], 'runner')
    return length


def _runner(
    path: str,
    *,
    type: Literal['EpochBasedRunner', 'IterBasedRunner'],
    max_epochs: Count | None = None,
    max_iters: Count | None = None,
) -> dict[str, int | None]:
    needed, other = ('max_epochs', 'max_iters')[:: 1 if type == 'EpochBasedRunner' else -1]
    given = dict(max_epochs=max_epochs, max_iters=max_iters)
    check(given[other] is None, f'{path}.{other}', f'{type} takes {needed}')
    check(given[needed] is not None, f'{path}.{needed}', 'this key is required')
    return dict(total_epochs=max_epochs, total_iters=max_iters)


def _loaders(
    path: str,
    *,
    samples_per_gpu: Count | None = None,
    workers_per_gpu: Natural = 2,
    train: Any = None,
    val: Any = None,
    test: Any = None,
    train_dataloader: Node | None = None,
    val_dataloader: Node | None = None,
    test_dataloader: Node | None = None,
    evaluator: Node,
    test_batch: int | None,
) -> Splits:
    """The section ``data`` as splits, one for each of train, val and test."""
    check(bool(train or val or test), path, 'there is none of train, val and test')
    splits: Splits = {}
    for name, section, own in (
        ('train', train, train_dataloader),
        ('val', val, val_dataloader),
        ('test', test, test_dataloader),
    ):
        if section is None or section == {}:
            continue
        training, here = name == 'train', f'{path}.{name}'
        # Batch size and workers: common keys of ``data``, then the keys of this split.
        options = dict(samples_per_gpu=samples_per_gpu, workers_per_gpu=workers_per_gpu)
        if not training:
            options['samples_per_gpu'] = test_batch or samples_per_gpu
            if isinstance(section, Node) and 'samples_per_gpu' in section:
                options['samples_per_gpu'] = section['samples_per_gpu']
                section = section.without('samples_per_gpu')
        check(
            own is None or isinstance(own, Node),
            f'{here}_dataloader',
            f'must be a dict, not {own!r}',
        )
        options |= own or {}
        given = options['samples_per_gpu'] is not None
        check(given, f'{path}.samples_per_gpu', 'this key is required')
        loader = read(_loader, options, f'{here}_dataloader' if own else path)
        measured = {} if training else dict(evaluator=evaluator)
        splits[name] = Node(here, dataset=section, **loader, **measured)
    return splits


def _loader(
    path: str,
    *,
    samples_per_gpu: Count,
    workers_per_gpu: Natural,
    persistent_workers: bool = True,
    shuffle: bool = True,
) -> dict[str, int]:
    """``persistent_workers`` and ``shuffle`` have no effect: workers persist, training shuffles."""
    return dict(batch_size=samples_per_gpu, num_workers=workers_per_gpu)


def _part_of_evaluation(
    values: Node, runner: dict[str, int | None], warnings: list[str]
) -> tuple[int | None, Node]:
    """Split ``evaluation`` into its interval and the keys of the task's evaluator."""
    section = values.get('evaluation')
    if section is None:
        return None, Node('evaluation')
    section = _without_by_epoch(section, 'evaluation', runner)
    check(isinstance(section, Node), 'evaluation', f'must be a dict, not {section!r}')
    metric, best = section.get('metric'), section.get('save_best')
    # The best checkpoint is chosen by the first metric, whatever ``save_best`` names.
    first = metric[0] if isinstance(metric, (list, tuple)) and metric else metric
    if best not in (None, 'auto') and not str(best).startswith(str(first)):
        warnings.append(
            f'evaluation.save_best: the best checkpoint is that of the first metric, {first!r}'
        )
    metrics = section.without('interval', 'save_best', 'rule', 'gpu_collect')
    return section.get('interval'), metrics


def _without_by_epoch(section: Any, path: str, runner: dict[str, int | None]) -> Any:
    """A section without ``by_epoch``, which must agree with the runner."""
    if not isinstance(section, Node) or 'by_epoch' not in section:
        return section
    by_epoch = runner['total_iters'] is None
    unit = f'the run is counted in {"epochs" if by_epoch else "iterations"}, and so is interval'
    check(section['by_epoch'] is by_epoch, f'{path}.by_epoch', f'{unit}: leave it out')
    return section.without('by_epoch')


def _training(
    values: Node, runner: dict[str, int | None], interval: int | None, warnings: list[str]
) -> Training | None:
    """Lower the settings of training, through the sections of the 2019 language."""
    sections = Node('', part(values, TRAINING)) | runner
    sections['evaluation'] = None if interval is None else Node('evaluation', interval=interval)
    checkpoints = _without_by_epoch(values.get('checkpoint_config'), 'checkpoint_config', runner)
    sections['checkpoint_config'] = checkpoints
    if isinstance(values.get('log_config'), Node):
        sections['log_config'] = _without_units(values['log_config'])
    hooks = values.get('custom_hooks')
    if isinstance(hooks, (list, tuple)):
        sections |= _hooks(hooks, values.get('ema'))
    return read(lower_training, sections, '', warnings=warnings)


def _without_units(log_config: Node) -> Node:
    """``log_config`` without ``by_epoch`` in its hooks: logs count iterations."""
    hooks = log_config.get('hooks')
    if not isinstance(hooks, (list, tuple)):
        return log_config
    plain = []
    for i, hook in enumerate(hooks):
        kind = check_typed(hook, f'log_config.hooks[{i}]')['type']
        if kind == 'TextLoggerHook':
            check_keys(hook, ('type', 'by_epoch'), hook.path)
        plain.append(hook.without('by_epoch'))
    return log_config.replaced(hooks=plain)


def _hooks(hooks: list[Any], ema: Node | None) -> dict[str, Any]:
    """``custom_hooks`` of the user, and ``ema``; hooks that are built into hrdet are removed."""
    left = []
    for i, hook in enumerate(hooks):
        kind = check_typed(hook, f'custom_hooks[{i}]')['type']
        if kind == 'EMAHook':
            check(ema is None, hook.path, 'ema says it too; keep one')
            ema = hook.without('type')
        elif kind != 'NumClassCheckHook':  # every run checks the number of classes
            left.append(hook)
    return dict(custom_hooks=left, ema=ema)


def initial_weights(model: Node, warnings: list[str]) -> tuple[Node, str | None]:
    """Remove the name of the backbone's initial weights from ``model``; returns both.

    OpenMMLab configs have it as ``model.pretrained`` or ``model.backbone.init_cfg``.
    """
    # ``init_cfg`` takes precedence, as in the OpenMMLab projects.
    given = model.get('pretrained')
    model = model.without('pretrained')
    backbone = model.get('backbone')
    if not isinstance(backbone, Node) or 'init_cfg' not in backbone:
        return model, given
    model['backbone'] = backbone.without('init_cfg')
    if backbone['init_cfg'] is None:
        return model, given
    path = f'{backbone.path}.init_cfg'
    checkpoint = read(_init_cfg, backbone['init_cfg'], path)
    if given not in (None, checkpoint):
        warnings.append(
            f'{path}: training starts from {checkpoint!r}, and not from {given!r}, which '
            f'{model.path}.pretrained names'
        )
    return model, checkpoint


def _init_cfg(
    path: str, *, type: Literal['Pretrained'], checkpoint: str, prefix: str | None = None
) -> str:
    """The checkpoint; ``prefix`` has no effect, because loading finds the backbone itself."""
    return checkpoint
