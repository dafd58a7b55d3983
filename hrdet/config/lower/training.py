"""How a model is trained in the 2019 language: optimizer, checkpoints, logs, hooks, trackers."""

from typing import Any

from hrdet.config.lower.schedule import schedule
from hrdet.config.node import Node, check, check_choice, check_count, check_typed, is_number, read
from hrdet.config.run_config import Training
from hrdet.registry import ConfigError
from hrdet.wording import counted

_TRACKERS = {
    'TensorboardLoggerHook': 'TensorBoard',
    'WandbLoggerHook': 'WandB',
    'MlflowLoggerHook': 'MLflow',
}


def lower_training(values: Node, warnings: list[str]) -> Training | None:
    """The settings of a run; None where the config names no optimizer."""
    epochs, iterations = values['total_epochs'], values['total_iters']
    for name in ('total_epochs', 'total_iters'):
        if values[name] is not None:
            check_count(values[name], name)
    check(
        epochs is None or iterations is None, 'total_iters', 'total_epochs is given too; keep one'
    )
    # Of a run that is counted in iterations: ten times.
    interval = 1 if iterations is None else max(1, iterations // 10)
    length = dict(epochs=epochs, iterations=iterations)
    factors = read(schedule, values['lr_config'], 'lr_config', **length)
    for factor in factors:
        last = epochs if factor['by_epoch'] else iterations
        late = [step for step in factor.get('milestones', ()) if last is not None and step >= last]
        if late:
            whole = counted(last, 'epoch' if factor['by_epoch'] else 'iteration')
            warnings.append(f'lr_config.step: {late} is never reached in {whole}')
    steps = read(_optimizer_config, values['optimizer_config'] or {}, 'optimizer_config')
    every = values['evaluation'].get('interval', interval)
    check_count(every, 'evaluation.interval')
    settings = Training(
        optimizer=_optimizer(values['optimizer']),
        schedule=factors,
        max_epochs=epochs,
        max_iters=iterations,
        val_interval=every,
        amp=_precision(values['amp'] or None, values['fp16'], warnings),
        ema=_optional(_ema, values, 'ema'),
        auto_scale_lr=_auto_scale_lr(values, warnings),
        early_stopping=_optional(_early_stopping, values, 'early_stopping'),
        checkpoint=read(
            _checkpoint, values['checkpoint_config'] or {}, 'checkpoint_config', default=interval
        ),
        hooks=_typed_list(values['custom_hooks'], 'custom_hooks'),
        **steps,
        **read(_log, values['log_config'], 'log_config', trackers=values['trackers']),
    )
    return None if settings.optimizer is None else settings


def _optimizer(section: Any) -> dict[str, Any] | None:
    """Arguments of a class of torch.optim, and ``paramwise_cfg``."""
    if section is None:
        return None
    check(isinstance(section, Node), 'optimizer', f'a dict is wanted here, not {section!r}')
    for key in ('type', 'lr'):
        check(key in section, f'optimizer.{key}', 'this key is needed')
    options = dict(section)
    _check_positive(options['lr'], 'optimizer.lr')
    paramwise = options.pop('paramwise_options', None)
    if paramwise is not None:
        check('paramwise_cfg' not in options, 'optimizer', 'two names of one thing: paramwise_cfg')
        options['paramwise_cfg'] = paramwise
    return options


def _optimizer_config(
    path: str, *, grad_clip: Node | None = None, cumulative_iters: int = 1
) -> dict[str, Any]:
    """Gradient clipping, and the number of batches that make one step."""
    check_count(cumulative_iters, f'{path}.cumulative_iters')
    if grad_clip is not None:
        grad_clip = read(_grad_clip, grad_clip, f'{path}.grad_clip')
    return dict(grad_clip=grad_clip, accumulate=cumulative_iters)


def _grad_clip(path: str, *, max_norm: float, norm_type: float = 2) -> dict[str, Any]:
    _check_positive(max_norm, f'{path}.max_norm')
    _check_positive(norm_type, f'{path}.norm_type')
    return dict(max_norm=max_norm, norm_type=norm_type)


def _checkpoint(
    path: str,
    *,
    interval: int | None = None,
    max_keep_ckpts: int | None = -1,
    interval_minutes: float | None = None,
    default: int,
) -> dict[str, Any]:
    """In epochs, or iterations where these count the run; -1 keeps all."""
    interval = default if interval is None else interval
    check_count(interval, f'{path}.interval')
    keep = -1 if max_keep_ckpts is None else max_keep_ckpts
    if keep != -1:
        check_count(keep, f'{path}.max_keep_ckpts')
    if interval_minutes is None:
        return dict(interval=interval, max_keep=keep)
    _check_positive(interval_minutes, f'{path}.interval_minutes')
    return dict(interval=interval, max_keep=keep, interval_minutes=interval_minutes)


def _log(
    path: str, *, interval: int = 50, hooks: list[Node] | None = None, trackers: Any
) -> dict[str, Any]:
    """Iterations between two lines, and where they go besides log.jsonl."""
    check_count(interval, f'{path}.interval')
    found = []
    for i, hook in enumerate(hooks or []):
        here = f'{path}.hooks[{i}]'
        kind = check_typed(hook, here)['type']
        check_choice(kind, ('TextLoggerHook', *_TRACKERS), f'{here}.type')
        if kind in _TRACKERS:
            found.append(hook.replaced(type=_TRACKERS[kind]))
    return dict(log_interval=interval, trackers=found + _typed_list(trackers, 'trackers'))


def _typed_list(section: Any, path: str) -> list[Node]:
    """A list of nodes for ``registry.build``."""
    check(isinstance(section, (list, tuple)), path, f'a list is wanted here, not {section!r}')
    return [check_typed(node, f'{path}[{i}]') for i, node in enumerate(section)]


def _early_stopping(
    path: str, *, patience: int, metric: str | None = None, min_delta: float = 0.0
) -> dict[str, Any]:
    """Stop after ``patience`` evaluations without a gain of ``min_delta`` in the metric."""
    check_count(patience, f'{path}.patience')
    named = metric is None or isinstance(metric, str)
    check(named, f'{path}.metric', f'the name of a metric is wanted here, not {metric!r}')
    gain = is_number(min_delta) and 0 <= min_delta < float('inf')
    check(gain, f'{path}.min_delta', f'{min_delta!r} is not a number of 0 or more')
    return dict(patience=patience, metric=metric, min_delta=min_delta)


def _ema(path: str, *, momentum: float = 0.0002) -> dict[str, float]:
    """The weight of the newest model in the average."""
    inside = is_number(momentum) and 0 < momentum < 1
    check(inside, f'{path}.momentum', f'{momentum!r} is not in (0, 1)')
    return dict(momentum=momentum)


def _precision(amp: str | None, fp16: Node | None, warnings: list[str]) -> str | None:
    """The mixed-precision type of ``amp``, or of the 1.x section ``fp16``."""
    check_choice(amp, (None, 'float16', 'bfloat16'), 'amp')
    if fp16 is None:
        return amp
    if amp is not None:
        raise ConfigError('fp16: amp gives the precision already; keep one of them')
    if read(_loss_scale, fp16, 'fp16') not in (None, 'dynamic'):
        warnings.append('fp16.loss_scale: adapted while training')
    return 'float16'


def _loss_scale(path: str, *, loss_scale: float | str | None = None) -> float | str | None:
    return loss_scale


def _auto_scale_lr(values: Node, warnings: list[str]) -> dict[str, Any]:
    found = _optional(_batch_of_lr, values, 'auto_scale_lr')
    if found is None:
        warnings.append(
            'auto_scale_lr: the config does not say how many images a step its learning rate is '
            'for, so it is used as it is; write auto_scale_lr=dict(enable=True, base_batch_size=16)'
        )
    return found or dict(enable=False, base_batch_size=None)


def _batch_of_lr(path: str, *, enable: bool = True, base_batch_size: int) -> dict[str, Any]:
    """The images of a step that the learning rate is meant for."""
    check_choice(enable, (True, False), f'{path}.enable')
    check_count(base_batch_size, f'{path}.base_batch_size')
    return dict(enable=enable, base_batch_size=base_batch_size)


def _optional(reader: Any, values: Node, name: str) -> Any:
    return None if values[name] is None else read(reader, values[name], name)


def _check_positive(value: Any, path: str) -> None:
    positive = is_number(value) and 0 < value < float('inf')
    check(positive, path, f'{value!r} is not a positive number')
