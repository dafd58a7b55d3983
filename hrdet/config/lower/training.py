"""How a model is trained in the 2019 language: optimizer, checkpoints, logs, hooks, trackers."""

from typing import Annotated, Any, Literal

from hrdet.config.node import Node, check, check_choice, check_typed, keys_of, read
from hrdet.config.run_config import Training
from hrdet.messages import plural
from hrdet.ranges import Count, Fraction, NotNegative, Positive

_TRACKERS = {
    'TensorboardLoggerHook': 'TensorBoard',
    'WandbLoggerHook': 'WandB',
    'MlflowLoggerHook': 'MLflow',
}

Factor = dict[str, Any]


def lower_training(
    path: str,
    *,
    optimizer: Node | None = None,
    optimizer_config: Node | None = None,
    lr_config: Node | None = None,
    total_epochs: Count | None = None,
    total_iters: Count | None = None,
    evaluation: Node | None = None,
    checkpoint_config: Node | None = None,
    log_config: Node | None = None,
    trackers: Any = (),
    custom_hooks: Any = (),
    early_stopping: Node | None = None,
    auto_scale_lr: Node | None = None,
    amp: Literal['float16', 'bfloat16', False] | None = None,
    fp16: Node | None = None,
    ema: Node | None = None,
    warnings: list[str],
) -> Training | None:
    """The settings of a run; None where the config names no optimizer."""
    one = total_epochs is None or total_iters is None
    check(one, 'total_iters', 'total_epochs is given too; keep one')
    # By default evaluate every epoch, or ten times in a run of total_iters.
    interval = 1 if total_iters is None else max(1, total_iters // 10)
    policy = dict(policy='fixed') if lr_config is None else lr_config
    length = dict(epochs=total_epochs, iterations=total_iters)
    factors = read(_schedule, policy, 'lr_config', **length)
    for factor in factors:
        last = total_epochs if factor['by_epoch'] else total_iters
        warnings += late_steps(factor, last, 'lr_config.step')
    checkpoint = _section(_checkpoint, checkpoint_config, 'checkpoint_config', default=interval)
    if fp16 is not None:
        check(not amp, 'fp16', 'amp gives the precision already; keep one of them')
        amp = _section(_fp16, fp16, 'fp16', warnings=warnings)
    settings = dict(
        schedule=factors,
        max_epochs=total_epochs,
        max_iters=total_iters,
        val_interval=(evaluation or {}).get('interval', interval),
        amp=amp or None,
        ema=_optional(_ema, ema, 'ema'),
        auto_scale_lr=read_auto_scale_lr(auto_scale_lr, warnings),
        early_stopping=_optional(read_early_stopping, early_stopping, 'early_stopping'),
        checkpoint=checkpoint,
        hooks=nodes(custom_hooks, 'custom_hooks'),
        **_section(_optimizer_config, optimizer_config, 'optimizer_config'),
        **_section(_log, log_config, 'log_config', trackers=trackers),
    )
    if optimizer is None:
        return None
    return Training(optimizer=read(_optimizer, optimizer, 'optimizer'), **settings)


def late_steps(factor: Factor, last: int | None, path: str) -> list[str]:
    """A warning for milestones after the end of the run, its ``last`` epoch or iteration."""
    steps = [factor.get('begin', 0) + step for step in factor.get('milestones', ())]
    late = [step for step in steps if last is not None and step >= last]
    unit = 'epoch' if factor['by_epoch'] else 'iteration'
    return [f'{path}: {late} is never reached in {plural(last, unit)}'] if late else []


def _section(reader: Any, section: Node | None, path: str, **context: Any) -> Any:
    return read(reader, {} if section is None else section, path, **context)


def _optional(reader: Any, section: Node | None, path: str) -> Any:
    return None if section is None else read(reader, section, path)


def _optimizer(
    path: str, *, type: str, lr: Positive, paramwise_options: Any = None, **rest: Any
) -> dict[str, Any]:
    """Arguments of a class of torch.optim, and ``paramwise_cfg``."""
    if paramwise_options is not None:
        check('paramwise_cfg' not in rest, path, 'two names of one thing: paramwise_cfg')
        rest['paramwise_cfg'] = paramwise_options
    return dict(type=type, lr=lr, **rest)


def _optimizer_config(
    path: str, *, grad_clip: Node | None = None, cumulative_iters: Count = 1
) -> dict[str, Any]:
    """Gradient clipping, and the number of batches that make one step."""
    clipping = _optional(read_grad_clip, grad_clip, f'{path}.grad_clip')
    return dict(grad_clip=clipping, accumulate=cumulative_iters)


def read_grad_clip(path: str, *, max_norm: Positive, norm_type: Positive = 2) -> dict[str, Any]:
    return dict(max_norm=max_norm, norm_type=norm_type)


def _checkpoint(
    path: str,
    *,
    interval: Count | None = None,
    max_keep_ckpts: Count | Literal[-1] | None = 2,
    interval_minutes: Positive | None = None,
    default: int,
) -> dict[str, Any]:
    """In epochs, or iterations where these count the run; -1 keeps all."""
    found = dict(interval=interval or default, max_keep=max_keep_ckpts or -1)
    return found | (dict(interval_minutes=interval_minutes) if interval_minutes else {})


def _log(path: str, *, interval: Count = 50, hooks: Any = (), trackers: Any) -> dict[str, Any]:
    """Iterations between two lines, and where numbers go besides log.jsonl."""
    found = []
    for hook in nodes(hooks or [], f'{path}.hooks'):
        check_choice(hook['type'], ('TextLoggerHook', *_TRACKERS), f'{hook.path}.type')
        if hook['type'] in _TRACKERS:
            found.append(hook.replaced(type=_TRACKERS[hook['type']]))
    return dict(log_interval=interval, trackers=found + nodes(trackers, 'trackers'))


def nodes(section: Any, path: str) -> list[Node]:
    """A list of nodes for ``registry.build``."""
    check(isinstance(section, (list, tuple)), path, f'must be a list, not {section!r}')
    return [check_typed(node, f'{path}[{i}]') for i, node in enumerate(section)]


def read_early_stopping(
    path: str, *, patience: Count, metric: str | None = None, min_delta: NotNegative = 0.0
) -> dict[str, Any]:
    """Stop after ``patience`` evaluations without a gain of ``min_delta`` in the metric."""
    return dict(patience=patience, metric=metric, min_delta=min_delta)


def _ema(path: str, *, momentum: Fraction = 0.0002) -> dict[str, float]:
    """The weight of the newest model in the average."""
    return dict(momentum=momentum)


def _fp16(path: str, *, loss_scale: Any = None, warnings: list[str]) -> str:
    """The section ``fp16`` of mmdetection 1.x; returns the dtype."""
    if loss_scale not in (None, 'dynamic'):
        warnings.append(f'{path}.loss_scale: adapted while training')
    return 'float16'


def read_auto_scale_lr(section: Node | None, warnings: list[str]) -> dict[str, Any]:
    """Without the section the learning rate is used as it is, with a warning."""
    if section is None:
        warnings.append(
            'auto_scale_lr: the config does not say how many images a step its learning rate is '
            'for, so it is used as it is; write auto_scale_lr=dict(base_batch_size=16)'
        )
        return dict(enable=False, base_batch_size=None)
    return read(_auto_scale_lr, section, 'auto_scale_lr')


def _auto_scale_lr(path: str, *, enable: bool = True, base_batch_size: Count) -> dict[str, Any]:
    """``base_batch_size``: images per optimizer step for which the learning rate is meant."""
    return dict(enable=enable, base_batch_size=base_batch_size)


def _schedule(
    path: str,
    *,
    policy: str,
    by_epoch: bool | None = None,
    warmup: Literal['linear', 'constant', 'exp'] | None = None,
    warmup_iters: int = 0,
    warmup_ratio: Annotated[float, 'in (0, 1]', lambda r: 0 < r <= 1] = 0.1,
    epochs: int | None,
    iterations: int | None,
    **rest: Any,
) -> list[Factor]:
    """The schedulers that give mmcv's ``lr_config``: a policy, after a warm-up.

    ``epochs`` or ``iterations`` is the length of the run; ``rest`` are the keys of the policy.
    """
    kind = {'CosineAnnealing': 'cosine'}.get(policy, policy)
    check_choice(kind, _POLICIES, f'{path}.policy')
    rest = {key: value for key, value in rest.items() if value is not None}
    # A key of another policy gets its own message, instead of "no such key".
    own = keys_of(_POLICIES[kind])
    others = {key for reader in _POLICIES.values() for key in keys_of(reader)} - {*own}
    for key in rest:
        check(key not in others, f'{path}.{key}', f'the policy {policy!r} has no use for it')
    by_epoch = iterations is None if by_epoch is None else by_epoch
    counted = 'total_iters counts iterations, and so does lr_config: leave it out'
    check(not by_epoch or iterations is None, f'{path}.by_epoch', counted)
    # The schedule is the product of two factors, that of the warm-up and that of the policy.
    factors = [] if warmup is None else _warmup(path, warmup, warmup_iters, warmup_ratio)
    if kind != 'fixed':
        factors.append(dict(by_epoch=by_epoch) | read(_POLICIES[kind], rest, path))
    if kind in ('cosine', 'poly'):
        factors[-1] |= _whole_run(path, kind, by_epoch, epochs, iterations)
    return factors


def _fixed(path: str) -> Factor:
    return {}


def _step(path: str, *, step: Count | list[Count], gamma: Positive = 0.1) -> Factor:
    if isinstance(step, int):
        return dict(type='StepLR', step_size=step, gamma=gamma)
    return dict(type='MultiStepLR', milestones=list(step), gamma=gamma)


def _exponential(path: str, *, gamma: Positive) -> Factor:
    return dict(type='ExponentialLR', gamma=gamma)


def _cosine(
    path: str,
    *,
    min_lr: NotNegative | None = None,
    min_lr_ratio: NotNegative | None = None,
    target_lr: NotNegative | None = None,
) -> Factor:
    ends = dict(min_lr=min_lr, min_lr_ratio=min_lr_ratio, target_lr=target_lr)
    ends = {name: value for name, value in ends.items() if value is not None}
    check(len(ends) <= 1, path, f'{" and ".join(ends)} say the same; keep one')
    if min_lr_ratio is not None:
        return dict(type='CosineAnnealingLR', eta_min_ratio=min_lr_ratio)
    return dict(type='CosineAnnealingLR', eta_min=next(iter(ends.values()), 0.0))


def _polynomial(path: str, *, power: Positive = 1.0, min_lr: NotNegative = 0.0) -> Factor:
    return dict(type='PolyLR', power=power, eta_min=min_lr)


def _whole_run(
    path: str, kind: str, by_epoch: bool, epochs: int | None, iterations: int | None
) -> Factor:
    """The length of a policy that ends with the run."""
    length = epochs if iterations is None else iterations
    check(length is not None, 'total_epochs', f'{path} needs to know it')
    found = {'end': length, 'T_max' if kind == 'cosine' else 'total_iters': length}
    # by_epoch=False in a run of epochs: the rate changes every iteration until the last epoch ends.
    if iterations is None and not by_epoch:
        found |= dict(by_epoch=True, convert_to_iter_based=True)
    return found


def _warmup(path: str, kind: str, iterations: int, ratio: float) -> list[Factor]:
    """Schedulers whose product is the warm-up factor: ``ratio`` at iteration 0, 1 at the end.

    In between, at iteration t of T: 1 - (1 - t / T) * (1 - ratio) ('linear'), ratio ('constant')
    or ratio ** (1 - t / T) ('exp').
    """
    check(iterations > 0, f'{path}.warmup_iters', f'{iterations} is not an integer of 1 or more')
    # The final value is reached one step before ``end``.
    span = dict(by_epoch=False, begin=0, end=iterations + 1)
    if kind == 'linear':
        return [dict(type='LinearLR', start_factor=ratio, **span)]
    if kind == 'constant':
        return [dict(type='ConstantLR', factor=ratio, **span)]
    return [
        dict(type='ConstantLR', factor=ratio, by_epoch=False),
        dict(type='ExponentialLR', gamma=ratio ** (-1 / iterations), **span),
    ]


_POLICIES = {
    'fixed': _fixed,
    'step': _step,
    'exp': _exponential,
    'cosine': _cosine,
    'poly': _polynomial,
}
