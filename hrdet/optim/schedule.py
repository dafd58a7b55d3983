"""Learning-rate schedules: closed formulas of the iteration in one torch LambdaLR."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from hrdet.registry import ConfigError, nearest

_LONGEST_WARM_UP = 0.2  # of a run
Factor = Callable[[int, float], float]  # (iteration, base learning rate) -> factor of it


def lr_schedule(
    optimizer: torch.optim.Optimizer,
    nodes: Sequence[Mapping[str, Any]],
    epoch_length: int,
    max_iters: int,
    iteration: int = 0,
) -> LambdaLR:
    """A schedule whose factors multiply each other, set to ``iteration`` finished iterations.

    Args:
        optimizer: its groups' ``initial_lr`` (on a resume) or ``lr`` is what the factors scale.
        nodes: each ``type``, its arguments, ``by_epoch`` (True), ``begin`` (0) and ``end`` (the end
            of the run).  A factor is 1 before ``begin`` and keeps its last value from ``end`` on.
            Its positions count epochs, or iterations with ``by_epoch=False``;
            ``convert_to_iter_based`` reads them as epochs and moves with every iteration.
        epoch_length: iterations of an epoch.
        max_iters: iterations of the run.
        iteration: where the run stands.

    Raises:
        ConfigError: unknown type or argument.
    """
    factors = [
        _factor(node, f'schedule[{i}]', epoch_length, max_iters) for i, node in enumerate(nodes)
    ]

    def product(base_lr: float, step: int) -> float:
        return math.prod(factor(step, base_lr) for factor in factors)

    # LambdaLR multiplies ``initial_lr``, which a resumed optimizer state already has.
    for group in optimizer.param_groups:
        group.setdefault('initial_lr', group['lr'])
    lambdas = [partial(product, group['initial_lr']) for group in optimizer.param_groups]
    return LambdaLR(optimizer, lambdas, last_epoch=iteration - 1)


def shorten_warm_up(
    nodes: Sequence[Mapping[str, Any]], epoch_length: int, max_iters: int
) -> tuple[list[Mapping[str, Any]], str | None]:
    """The schedule with warm-ups of at most a fifth of the run, and what was changed in a line.

    A warm-up is a linear or constant factor that begins with the run and grows to 1.
    """
    longest, changed, note = max(1, int(_LONGEST_WARM_UP * max_iters)), [], None
    for node in nodes:
        rises = node['type'] == 'LinearLR' and (
            node.get('start_factor', 1 / 3) < node.get('end_factor', 1.0) == 1.0
        )
        rises |= node['type'] == 'ConstantLR' and node.get('factor', 1 / 3) < 1
        # The iteration that has the whole learning rate: an epoch's factor is that of its begin.
        by_epoch, smooth = node.get('by_epoch', True), node.get('convert_to_iter_based', False)
        end = (node.get('end') or math.inf) * (epoch_length if by_epoch else 1)
        length = end - (epoch_length if by_epoch and not smooth else 1)
        if rises and not node.get('begin', 0) and length > longest:
            node = {k: v for k, v in node.items() if k != 'convert_to_iter_based'}
            node |= dict(by_epoch=False, end=longest + 1)
            note = (
                f'a warm-up of {length:,} iterations is longer than a fifth of the run of '
                f'{max_iters}: shortened to {longest}'
            )
        changed.append(node)
    return changed, note


def _factor(node: Mapping[str, Any], path: str, epoch_length: int, max_iters: int) -> Factor:
    options = dict(node)
    kind = options.pop('type')
    if kind not in _FACTORS:
        known = ', '.join(_FACTORS)
        raise ConfigError(
            f'{path}.type: there is no schedule {kind!r}{nearest(kind, _FACTORS)}. Known: {known}'
        )
    # 1. Positions in the unit in which the factor moves: iterations or epochs.
    by_epoch = options.pop('by_epoch', True)
    smooth = options.pop('convert_to_iter_based', False)
    unit = epoch_length if by_epoch and smooth else 1  # of the positions in ``options``
    step_length = epoch_length if by_epoch and not smooth else 1
    whole_run = max_iters / step_length if kind in _NEED_AN_END else math.inf
    begin = options.pop('begin', 0) * unit
    end = options.pop('end', None)
    end = whole_run if end is None else end * unit
    for name in ('T_max', 'step_size', 'total_iters'):
        if name in options:
            options[name] *= unit
    if 'milestones' in options:
        options['milestones'] = [milestone * unit for milestone in options['milestones']]
    # 2. Whatever is left must be an argument of the formula.
    formula = _FACTORS[kind]
    accepted = list(inspect.signature(formula).parameters)[3:]
    for name in options:
        if name not in accepted:
            raise ConfigError(
                f'{path}.{name}: {kind} takes no such argument{nearest(name, accepted)}. '
                f'It accepts: {", ".join(accepted)}'
            )

    def factor(iteration: int, base_lr: float) -> float:
        step = iteration // step_length
        if step < begin:
            return 1.0
        return formula(min(step, end - 1) - begin, end - 1 - begin, base_lr, **options)

    return factor


# Each formula takes t, the steps since ``begin``; last, the value of t at which the factor ends;
# and the base learning rate of the parameter group.


def _linear(
    t: float, last: float, base_lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0
) -> float:
    return start_factor + (end_factor - start_factor) * min(1.0, t / last) if last else end_factor


def _constant(t: float, last: float, base_lr: float, factor: float = 1 / 3) -> float:
    return factor if t < last else 1.0


def _step(t: float, last: float, base_lr: float, step_size: int, gamma: float = 0.1) -> float:
    return gamma ** (t // step_size)


def _multi_step(
    t: float, last: float, base_lr: float, milestones: Sequence[int], gamma: float = 0.1
) -> float:
    return gamma ** sum(milestone <= t for milestone in milestones)


def _exponential(t: float, last: float, base_lr: float, gamma: float) -> float:
    return gamma**t


def _cosine(
    t: float,
    last: float,
    base_lr: float,
    T_max: int,
    eta_min: float | None = None,
    eta_min_ratio: float | None = None,
) -> float:
    """Loshchilov and Hutter 2017, equation 5, without restarts."""
    least = eta_min_ratio if eta_min_ratio is not None else (eta_min or 0.0) / base_lr
    return least + (1 - least) * (1 + math.cos(math.pi * t / T_max)) / 2


def _poly(
    t: float,
    last: float,
    base_lr: float,
    power: float = 1.0,
    eta_min: float = 0.0,
    total_iters: int | None = None,
) -> float:
    """``eta_min`` is reached in the last step (mmengine), or after ``total_iters`` (mmcv)."""
    least = eta_min / base_lr
    last = last if total_iters is None else total_iters
    return least + (1 - least) * max(0.0, 1 - t / last) ** power if last else least


_FACTORS: dict[str, Callable[..., float]] = {
    'LinearLR': _linear,
    'ConstantLR': _constant,
    'StepLR': _step,
    'MultiStepLR': _multi_step,
    'ExponentialLR': _exponential,
    'CosineAnnealingLR': _cosine,
    'PolyLR': _poly,
}
_NEED_AN_END = ('LinearLR', 'PolyLR')  # for the others nothing happens at the end of the run
