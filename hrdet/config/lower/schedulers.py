"""Learning rates in OpenMMLab 2: ``param_scheduler``, with mmengine's classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hrdet.config.lower.training import late_steps, nodes
from hrdet.config.node import Node, check, check_choice, check_typed, read
from hrdet.ranges import Count, Natural, NotNegative, Positive


@dataclass(slots=True, kw_only=True)
class Loop:
    """``train_cfg``: the length of the run."""

    max_epochs: int | None = None
    max_iters: int | None = None
    val_interval: int = 1


def read_schedule(sections: Any, loop: Loop, warnings: list[str]) -> list[dict[str, Any]]:
    """``param_scheduler``: one scheduler or a list, whose factors multiply each other."""
    path = 'param_scheduler'
    if sections is None:
        return []
    if isinstance(sections, Node):
        return [_scheduler(sections, path, loop, warnings)]
    return [_scheduler(section, section.path, loop, warnings) for section in nodes(sections, path)]


def _scheduler(section: Node, path: str, loop: Loop, warnings: list[str]) -> dict[str, Any]:
    kind = check_typed(section, path)['type']
    check_choice(kind, _SCHEDULERS, f'{path}.type')
    # Keys that all schedulers share are read apart from those of the type.
    own = read(_span, {k: v for k, v in section.items() if k in _SPAN}, path, loop=loop)
    rest = {k: v for k, v in section.items() if k not in _SPAN}
    found = own | read(_SCHEDULERS[kind], rest, path, span=own)
    last = loop.max_epochs if own['by_epoch'] else loop.max_iters
    warnings += late_steps(found, last, f'{path}.milestones')
    return found


def _span(
    path: str,
    *,
    by_epoch: bool = True,
    begin: Natural = 0,
    end: Count | None = None,
    convert_to_iter_based: bool = False,
    verbose: bool = False,
    last_step: Literal[-1] = -1,
    loop: Loop,
) -> dict[str, Any]:
    """What all schedulers have; ``end`` is that of the run where it is left out."""
    counted = 'train_cfg.max_iters counts iterations: by_epoch=False'
    check(not by_epoch or loop.max_iters is None, f'{path}.by_epoch', counted)
    smooth = 'a scheduler by iterations moves with every one already: leave it out'
    check(by_epoch or not convert_to_iter_based, f'{path}.convert_to_iter_based', smooth)
    # ``end`` defaults to the end of the run in the scheduler's own unit.
    found = dict(by_epoch=by_epoch, begin=begin)
    length = loop.max_epochs if by_epoch else loop.max_iters
    end = length if end is None else end
    if end is not None:
        check(end > begin, f'{path}.end', f'{end} is not after begin={begin}')
        found['end'] = end
    return found | (dict(convert_to_iter_based=True) if convert_to_iter_based else {})


_SPAN = (*('by_epoch', 'begin', 'end'), 'convert_to_iter_based', 'verbose', 'last_step')


def _linear(
    path: str, *, type: str, start_factor: Positive = 1 / 3, end_factor: Positive = 1.0, span: dict
) -> dict[str, Any]:
    return dict(type='LinearLR', start_factor=start_factor, end_factor=end_factor)


def _constant(path: str, *, type: str, factor: Positive = 1 / 3, span: dict) -> dict[str, Any]:
    return dict(type='ConstantLR', factor=factor)


def _step(path: str, *, type: str, step_size: Count, gamma: Positive = 0.1, span: dict) -> Any:
    return dict(type='StepLR', step_size=step_size, gamma=gamma)


def _multi_step(
    path: str, *, type: str, milestones: list[Count], gamma: Positive = 0.1, span: dict
) -> dict[str, Any]:
    return dict(type='MultiStepLR', milestones=list(milestones), gamma=gamma)


def _exponential(path: str, *, type: str, gamma: Positive, span: dict) -> dict[str, Any]:
    return dict(type='ExponentialLR', gamma=gamma)


def _cosine(
    path: str,
    *,
    type: str,
    T_max: Count | None = None,
    eta_min: NotNegative | None = None,
    eta_min_ratio: NotNegative | None = None,
    span: dict,
) -> dict[str, Any]:
    """``T_max`` is the length of the scheduler where it is left out."""
    if T_max is None:
        check('end' in span, f'{path}.T_max', 'this key is required')
        T_max = span['end'] - span['begin']
    one = eta_min is None or eta_min_ratio is None
    check(one, f'{path}.eta_min_ratio', 'eta_min says the same; keep one')
    if eta_min_ratio is not None:
        return dict(type='CosineAnnealingLR', T_max=T_max, eta_min_ratio=eta_min_ratio)
    return dict(type='CosineAnnealingLR', T_max=T_max, eta_min=eta_min or 0.0)


def _poly(
    path: str, *, type: str, power: Positive = 1.0, eta_min: NotNegative = 0.0, span: dict
) -> dict[str, Any]:
    return dict(type='PolyLR', power=power, eta_min=eta_min)


_SCHEDULERS: dict[str, Callable[..., dict[str, Any]]] = {
    'LinearLR': _linear,
    'ConstantLR': _constant,
    'StepLR': _step,
    'MultiStepLR': _multi_step,
    'ExponentialLR': _exponential,
    'CosineAnnealingLR': _cosine,
    'PolyLR': _poly,
}
