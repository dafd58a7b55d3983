"""Hooks and trackers in OpenMMLab 2: ``default_hooks``, ``custom_hooks`` and ``visualizer``."""

from typing import Any, Literal

from hrdet.config.lower.training import nodes, read_early_stopping
from hrdet.config.node import Node, check, check_choice, read
from hrdet.ranges import Count, Fraction, NotNegative, Positive

_TRACKERS = {
    'TensorboardVisBackend': 'TensorBoard',
    'WandbVisBackend': 'WandB',
    'MLflowVisBackend': 'MLflow',
}
# Hooks that do what hrdet always does.
_BUILT_IN = ('NumClassCheckHook', 'CheckInvalidLossHook', 'MemoryProfilerHook', 'EmptyCacheHook')


def default_hooks(
    path: str,
    *,
    timer: Node | None = None,
    logger: Node | None = None,
    param_scheduler: Node | None = None,
    checkpoint: Node | None = None,
    sampler_seed: Node | None = None,
    visualization: Node | None = None,
    runtime_info: Node | None = None,
    by_iteration: bool,
) -> dict[str, Any]:
    """``logger`` and ``checkpoint`` have settings here; the other hooks are part of the loop."""
    # Hooks without settings may be listed, as OpenMMLab's default configs do.
    for name, hook, kind in (
        ('timer', timer, 'IterTimerHook'),
        ('param_scheduler', param_scheduler, 'ParamSchedulerHook'),
        ('sampler_seed', sampler_seed, 'DistSamplerSeedHook'),
        ('runtime_info', runtime_info, 'RuntimeInfoHook'),
    ):
        if hook is not None:
            own = f'a hook of your own belongs into custom_hooks; here is only {kind}'
            check(hook == dict(type=kind), f'{path}.{name}', own)
    if visualization is not None:
        read(_visualization, visualization, f'{path}.visualization')
    found = read(_logger, logger or {}, f'{path}.logger')
    section, here = checkpoint or {}, f'{path}.checkpoint'
    return found | read(_checkpoint, section, here, by_iteration=by_iteration)


def _visualization(
    path: str,
    *,
    type: Literal['VisualizationHook', 'DetVisualizationHook', 'SegVisualizationHook'],
    enable: bool = False,
    draw: Literal[False] = False,
    interval: Count = 50,
    show: Literal[False] = False,
    backend_args: None = None,
) -> None:
    """Pictures of the first validation images go to the trackers that take pictures."""


def _logger(
    path: str,
    *,
    type: Literal['LoggerHook'] = 'LoggerHook',
    interval: Count = 10,
    log_metric_by_epoch: bool = True,
    ignore_last: bool = True,
    interval_exp_name: Count = 1000,
) -> dict[str, Any]:
    return dict(log_interval=interval)


def _checkpoint(
    path: str,
    *,
    type: Literal['CheckpointHook'] = 'CheckpointHook',
    interval: int | None = None,
    by_epoch: bool | None = None,
    max_keep_ckpts: Count | Literal[-1] = 2,
    save_best: Literal['auto', 'coco/bbox_mAP', 'mIoU', 'accuracy/top1'] | None = None,
    rule: Literal['greater'] | None = None,
    save_last: Literal[True] = True,
    save_optimizer: Literal[True] = True,
    save_param_scheduler: Literal[True] = True,
    interval_minutes: Positive | None = None,
    by_iteration: bool,
) -> dict[str, Any]:
    """The best checkpoint by the first metric of the evaluator is always kept: ``save_best``."""
    # hrdet counts checkpoints in the unit of the run; ``by_epoch`` may only repeat it.
    unit = 'iterations' if by_iteration else 'epochs'
    check(
        by_epoch is None or by_epoch != by_iteration,
        f'{path}.by_epoch',
        f'the run is counted in {unit}, and so are its checkpoints: by_epoch={not by_iteration}',
    )
    check(interval is None or interval == -1 or interval >= 1, f'{path}.interval', _INTERVAL)
    found: dict[str, Any] = dict(max_keep=max_keep_ckpts)
    if interval is not None and interval > 0:
        found['interval'] = interval
    return dict(
        checkpoint=found | (dict(interval_minutes=interval_minutes) if interval_minutes else {})
    )


_INTERVAL = 'must be an integer of 1 or more, or -1'


def log_processor(
    path: str,
    *,
    type: Literal['LogProcessor'] = 'LogProcessor',
    window_size: Count = 10,
    by_epoch: bool = True,
    mean_pattern: str = '',
    num_digits: Count = 4,
) -> None:
    """Accepted without effect: a log line has the means since the last one."""


def custom_hooks(section: Any) -> dict[str, Any]:
    """EMA and early stopping, and hooks of the user's own."""
    found: dict[str, Any] = dict(hooks=[])
    for hook in nodes(section or (), 'custom_hooks'):
        kind = hook['type']
        if kind == 'EMAHook':
            found['ema'] = read(_ema, hook, hook.path)
        elif kind == 'EarlyStoppingHook':
            found['early_stopping'] = read(_early_stopping, hook, hook.path)
        elif kind not in _BUILT_IN:
            found['hooks'].append(hook)
    return found


def _ema(
    path: str,
    *,
    type: str,
    momentum: Fraction = 0.0002,
    ema_type: Literal['ExponentialMovingAverage'] = 'ExponentialMovingAverage',
    update_buffers: Literal[True] = True,
    priority: Any = None,
    begin_iter: Literal[0] = 0,
    begin_epoch: Literal[0] = 0,
) -> dict[str, Any]:
    """The weight of the newest model in the average; hrdet averages buffers too."""
    return dict(momentum=momentum)


def _early_stopping(
    path: str,
    *,
    type: str,
    monitor: str | None = None,
    rule: Literal['greater'] | None = None,
    min_delta: NotNegative = 0.1,
    patience: Count = 5,
    priority: Any = None,
) -> dict[str, Any]:
    metric = None if monitor is None else monitor.rpartition('/')[2]
    return read_early_stopping(path, patience=patience, metric=metric, min_delta=min_delta)


def visualizer(
    path: str,
    *,
    type: str,
    vis_backends: Any = (),
    name: str = 'visualizer',
    save_dir: None = None,
    line_width: float = 1,
    alpha: float = 1,
) -> list[Node]:
    """The trackers; LocalVisBackend is dropped, because log.jsonl is always written."""
    found = []
    for backend in nodes(vis_backends or (), f'{path}.vis_backends'):
        kind = backend['type']
        if kind == 'LocalVisBackend':
            continue
        check_choice(kind, ('LocalVisBackend', *_TRACKERS), f'{backend.path}.type')
        found.append(backend.replaced(type=_TRACKERS[kind]))
    return found
