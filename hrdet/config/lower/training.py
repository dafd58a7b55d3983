"""The sections about training: optimizer, learning rate, checkpoints, logs, evaluation."""

from typing import Any

from hrdet.config.node import Node, check, check_choice, check_count, is_number, read
from hrdet.registry import ConfigError

METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
_LOGGERS = ('TextLoggerHook', 'TensorboardLoggerHook')


def optimizer(section: Node) -> dict[str, Any]:
    """``optimizer``: arguments of a class of torch.optim, and ``paramwise_cfg``."""
    check(isinstance(section, Node), 'optimizer', f'a dict is wanted here, not {section!r}')
    for key in ('type', 'lr'):
        check(key in section, f'optimizer.{key}', 'this key is needed')
    options = dict(section)
    check(_positive(options['lr']), 'optimizer.lr', f'{options["lr"]!r} is not a positive number')
    paramwise = options.pop('paramwise_options', None)
    if paramwise is not None:
        check('paramwise_cfg' not in options, 'optimizer', 'two names of one thing: paramwise_cfg')
        options['paramwise_cfg'] = paramwise
    return options


def optimizer_config(
    path: str, *, grad_clip: Node | None = None, cumulative_iters: int = 1
) -> tuple[dict[str, Any] | None, int]:
    """Gradient clipping, and the number of batches that make one step."""
    check_count(cumulative_iters, f'{path}.cumulative_iters')
    if grad_clip is not None:
        grad_clip = read(_grad_clip, grad_clip, f'{path}.grad_clip')
    return grad_clip, cumulative_iters


def _grad_clip(path: str, *, max_norm: float, norm_type: float = 2) -> dict[str, Any]:
    check(_positive(max_norm), f'{path}.max_norm', f'{max_norm!r} is not a positive number')
    return dict(max_norm=max_norm, norm_type=norm_type)


def schedule(
    path: str,
    *,
    policy: str,
    step: int | list[int] | None = None,
    gamma: float | None = None,
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
    target_lr: float | None = None,
    by_epoch: bool = True,
    warmup: str | None = None,
    warmup_iters: int = 0,
    warmup_ratio: float = 0.1,
    max_epochs: int | None,
) -> list[dict[str, Any]]:
    """``lr_config`` as mmengine's schedulers, which multiply each other.

    The factors are those of mmcv's updaters of 2019: ``policy`` for the epochs, and a warm-up over
    the first iterations.
    """
    policies = {
        'fixed': [],
        'step': ['step', 'gamma'],
        'exp': ['gamma'],
        'cosine': ['min_lr', 'min_lr_ratio', 'target_lr'],
    }
    policy_name = {'CosineAnnealing': 'cosine'}.get(policy, policy)
    check_choice(policy_name, policies, f'{path}.policy')
    options = dict(
        step=step, gamma=gamma, min_lr=min_lr, min_lr_ratio=min_lr_ratio, target_lr=target_lr
    )
    for name, value in options.items():
        used = value is None or name in policies[policy_name]
        check(used, f'{path}.{name}', f'the policy {policy!r} has no use for it')
    main: list[dict[str, Any]] = []
    if policy_name == 'step':
        main = [_step(path, step, 0.1 if gamma is None else gamma)]
    elif policy_name == 'exp':
        check(gamma is not None, f'{path}.gamma', 'this key is needed')
        main = [dict(type='ExponentialLR', gamma=gamma)]
    elif policy_name == 'cosine':
        main = [_cosine(path, max_epochs, by_epoch, min_lr, min_lr_ratio, target_lr)]
    main = [dict(by_epoch=by_epoch) | scheduler for scheduler in main]
    return _warmup(path, warmup, warmup_iters, warmup_ratio) + main


def _step(path: str, step: int | list[int] | None, gamma: float) -> dict[str, Any]:
    if isinstance(step, (list, tuple)):
        for i, epoch in enumerate(step):
            check_count(epoch, f'{path}.step[{i}]')
        return dict(type='MultiStepLR', milestones=list(step), gamma=gamma)
    check_count(step, f'{path}.step')
    return dict(type='StepLR', step_size=step, gamma=gamma)


def _cosine(
    path: str,
    max_epochs: int | None,
    by_epoch: bool,
    min_lr: float | None,
    min_lr_ratio: float | None,
    target_lr: float | None,
) -> dict[str, Any]:
    check(max_epochs is not None, 'total_epochs', f'{path} needs to know it')
    ends = dict(min_lr=min_lr, min_lr_ratio=min_lr_ratio, target_lr=target_lr)
    given = [name for name, value in ends.items() if value is not None]
    check(len(given) <= 1, path, f'{" and ".join(given)} say the same; keep one')
    end = dict(eta_min=next((ends[name] for name in given), 0.0))
    if given == ['min_lr_ratio']:
        end = dict(eta_min_ratio=min_lr_ratio)
    # Counted in iterations, the curve is still as long as the epochs.
    pace = {} if by_epoch else dict(by_epoch=True, convert_to_iter_based=True)
    return dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, **end, **pace)


def _warmup(path: str, kind: str | None, iterations: int, ratio: float) -> list[dict[str, Any]]:
    """Schedulers whose product is the warm-up factor: ``ratio`` at iteration 0, 1 at the end.

    In between, at iteration t of T: 1 - (1 - t / T) * (1 - ratio) ('linear'), ratio ('constant')
    or ratio ** (1 - t / T) ('exp').
    """
    if kind is None:
        return []
    check_choice(kind, ('linear', 'constant', 'exp'), f'{path}.warmup')
    check_count(iterations, f'{path}.warmup_iters')
    check(_positive(ratio) and ratio <= 1, f'{path}.warmup_ratio', f'{ratio!r} is not in (0, 1]')
    # mmengine reaches the final value one step before ``end``.
    span = dict(by_epoch=False, begin=0, end=iterations + 1)
    if kind == 'linear':
        return [dict(type='LinearLR', start_factor=ratio, **span)]
    if kind == 'constant':
        return [dict(type='ConstantLR', factor=ratio, **span)]
    return [
        dict(type='ConstantLR', factor=ratio, by_epoch=False),
        dict(type='ExponentialLR', gamma=ratio ** (-1 / iterations), **span),
    ]


def checkpoint(path: str, *, interval: int = 1, max_keep_ckpts: int | None = -1) -> dict[str, int]:
    """``checkpoint_config``, in epochs; -1 keeps all."""
    check_count(interval, f'{path}.interval')
    return dict(interval=interval, max_keep=-1 if max_keep_ckpts is None else max_keep_ckpts)


def log(path: str, *, interval: int = 50, hooks: list[Node] | None = None) -> dict[str, Any]:
    """``log_config``: iterations between two lines, and whether TensorBoard files are written."""
    check_count(interval, f'{path}.interval')
    kinds = []
    for i, hook in enumerate(hooks or []):
        kinds.append(read(_logger, hook, f'{path}.hooks[{i}]'))
    return dict(interval=interval, tensorboard='TensorboardLoggerHook' in kinds)


def _logger(path: str, *, type: str) -> str:
    check_choice(type, _LOGGERS, f'{path}.type')
    return type


def evaluation(
    path: str, *, interval: int = 1, metric: str | list[str] | None = None, masks: bool
) -> dict[str, Any]:
    """``evaluation``: epochs between two, and what is measured; all that is predicted if unsaid."""
    check_count(interval, f'{path}.interval')
    if metric is None:
        metric = ['bbox', 'segm'] if masks else 'bbox'
    metrics = [metric] if isinstance(metric, str) else list(metric)
    for name in metrics:
        check_choice(name, METRICS, f'{path}.metric')
    unpredicted = "'segm' measures masks, and the model has no mask_head: leave it out"
    check(masks or 'segm' not in metrics, f'{path}.metric', unpredicted)
    return dict(interval=interval, metrics=metrics)


def ema(path: str, *, momentum: float = 0.0002) -> dict[str, float]:
    """``ema``: the weight of the newest model in the average."""
    check(
        _positive(momentum) and momentum < 1, f'{path}.momentum', f'{momentum!r} is not in (0, 1)'
    )
    return dict(momentum=momentum)


def precision(amp: str | None, fp16: Node | None) -> tuple[str | None, list[str]]:
    """The mixed-precision type of ``amp``, or of the 1.x section ``fp16``; and warnings."""
    check_choice(amp, (None, 'float16', 'bfloat16'), 'amp')
    if fp16 is None:
        return amp, []
    if amp is not None:
        raise ConfigError('fp16: amp gives the precision already; keep one of them')
    scale = read(_loss_scale, fp16, 'fp16')
    fixed = [] if scale in (None, 'dynamic') else ['fp16.loss_scale: adapted while training']
    return 'float16', fixed


def _loss_scale(path: str, *, loss_scale: float | str | None = None) -> float | str | None:
    return loss_scale


def auto_scale_lr(path: str, *, enable: bool = True, base_batch_size: int) -> dict[str, Any]:
    """``auto_scale_lr``: the images of a step that the learning rate is meant for."""
    check_count(base_batch_size, f'{path}.base_batch_size')
    return dict(enable=enable, base_batch_size=base_batch_size)


def _positive(value: Any) -> bool:
    return is_number(value) and value > 0
