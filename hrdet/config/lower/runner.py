"""Lower the training settings of OpenMMLab 2: fields of mmengine's Runner, for every task.

Source: mmengine 0.10.
"""

from typing import Any, Literal

from hrdet.config.lower import runner_hooks
from hrdet.config.lower.schedulers import Loop, read_schedule
from hrdet.config.lower.training import (
    read_auto_scale_lr,
    read_grad_clip,
)
from hrdet.config.node import Node, check, read
from hrdet.config.run_config import Training
from hrdet.ranges import Count, NotNegative, Positive


def lower_training(
    path: str,
    *,
    train_cfg: Node | None = None,
    optim_wrapper: Node | None = None,
    param_scheduler: Any = None,
    default_hooks: Node | None = None,
    custom_hooks: Any = (),
    auto_scale_lr: Node | None = None,
    log_processor: Node | None = None,
    visualizer: Node | None = None,
    warnings: list[str],
) -> Training | None:
    """The settings of a run; None where the config has no ``optim_wrapper``."""
    # 1. The length of the run, which decides the unit of intervals.
    loop = Loop() if train_cfg is None else read(_loop, train_cfg, 'train_cfg')
    by_iteration = loop.max_iters is not None
    hooks = read(
        runner_hooks.default_hooks, default_hooks or {}, 'default_hooks', by_iteration=by_iteration
    )
    if log_processor is not None:
        read(runner_hooks.log_processor, log_processor, 'log_processor')
    # 2. Everything is read, and so checked, even if the config does not train.
    trackers = [] if visualizer is None else read(runner_hooks.visualizer, visualizer, 'visualizer')
    scheduler = read_schedule(param_scheduler, loop, warnings)
    more = runner_hooks.custom_hooks(custom_hooks)
    scaling = read_auto_scale_lr(auto_scale_lr, warnings)
    if optim_wrapper is None:
        return None
    return Training(
        **read(_optim_wrapper, optim_wrapper, 'optim_wrapper', warnings=warnings),
        schedule=scheduler,
        max_epochs=loop.max_epochs,
        max_iters=loop.max_iters,
        val_interval=loop.val_interval,
        auto_scale_lr=scaling,
        trackers=trackers,
        **hooks,
        **more,
    )


def _loop(
    path: str,
    *,
    type: Literal['EpochBasedTrainLoop', 'IterBasedTrainLoop'] | None = None,
    by_epoch: bool | None = None,
    max_epochs: Count | None = None,
    max_iters: Count | None = None,
    val_begin: Literal[1] = 1,
    val_interval: Count | None = None,
) -> Loop:
    check(type is None or by_epoch is None, f'{path}.by_epoch', 'type says the same; keep one')
    if type is not None:
        by_epoch = type == 'EpochBasedTrainLoop'
    if by_epoch is None:
        by_epoch = max_epochs is not None
    # The unit comes from type, by_epoch, or the length that is given.
    length, other = ('max_epochs', 'max_iters') if by_epoch else ('max_iters', 'max_epochs')
    given = dict(max_epochs=max_epochs, max_iters=max_iters)
    check(given[length] is not None, f'{path}.{length}', 'this key is required')
    counted = f'the run is counted in {"epochs" if by_epoch else "iterations"}: leave it out'
    check(given[other] is None, f'{path}.{other}', counted)
    # Evaluated every 1,000 iterations where nothing is said, as by mmengine.
    every = val_interval or (1 if by_epoch else 1000)
    return Loop(**given, val_interval=every)


def _optim_wrapper(
    path: str,
    *,
    type: Literal['OptimWrapper', 'AmpOptimWrapper'] = 'OptimWrapper',
    optimizer: Node,
    clip_grad: Node | None = None,
    accumulative_counts: Count = 1,
    paramwise_cfg: Node | None = None,
    loss_scale: Any = None,
    dtype: Literal['float16', 'bfloat16'] | None = None,
    warnings: list[str],
) -> dict[str, Any]:
    """Optimizer, gradient clipping, accumulation and precision."""
    # A dtype and a loss scale belong to mixed precision; the scale of fp16 always adapts.
    mixed = type == 'AmpOptimWrapper'
    for name, value in dict(loss_scale=loss_scale, dtype=dtype).items():
        check(mixed or value is None, f'{path}.{name}', "belongs to type='AmpOptimWrapper'")
    if loss_scale not in (None, 'dynamic'):
        warnings.append(f'{path}.loss_scale: adapted while training')
    found = read(_optimizer, optimizer, f'{path}.optimizer')
    if paramwise_cfg is not None:
        found['paramwise_cfg'] = read(_paramwise_cfg, paramwise_cfg, f'{path}.paramwise_cfg')
    clipping = None if clip_grad is None else read(_clip_grad, clip_grad, f'{path}.clip_grad')
    return dict(
        optimizer=found,
        grad_clip=clipping,
        accumulate=accumulative_counts,
        amp=(dtype or 'float16') if mixed else None,
    )


def _optimizer(path: str, *, type: str, lr: Positive, **rest: Any) -> Node:
    check('paramwise_cfg' not in rest, f'{path}.paramwise_cfg', 'belongs into optim_wrapper')
    return Node(path, rest, type=type, lr=lr)


def _clip_grad(
    path: str, *, type: Literal['norm'] = 'norm', max_norm: Positive, norm_type: Positive = 2
) -> dict[str, Any]:
    return read_grad_clip(path, max_norm=max_norm, norm_type=norm_type)


def _paramwise_cfg(
    path: str,
    *,
    bias_lr_mult: NotNegative = 1.0,
    bias_decay_mult: NotNegative = 1.0,
    norm_decay_mult: NotNegative = 1.0,
    custom_keys: Node | None = None,
    bypass_duplicate: bool = False,
) -> dict[str, Any]:
    values = dict(
        bias_lr_mult=bias_lr_mult, bias_decay_mult=bias_decay_mult, norm_decay_mult=norm_decay_mult
    )
    values = {name: value for name, value in values.items() if value != 1.0}
    return values if custom_keys is None else values | dict(custom_keys=custom_keys)
