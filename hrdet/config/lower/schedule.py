"""``lr_config`` to factors of the learning rate, which multiply each other."""

from typing import Annotated, Any, Literal

from hrdet.config.node import Count, check, check_choice

Factor = dict[str, Any]
# What each policy asks for.
_POLICIES = {
    'fixed': (),
    'step': ('step', 'gamma'),
    'exp': ('gamma',),
    'cosine': ('min_lr', 'min_lr_ratio', 'target_lr'),
    'poly': ('power', 'min_lr'),
}


def schedule(
    path: str,
    *,
    policy: str,
    by_epoch: bool | None = None,
    warmup: Literal['linear', 'constant', 'exp'] | None = None,
    warmup_iters: int = 0,
    warmup_ratio: Annotated[float, 'in (0, 1]', lambda r: 0 < r <= 1] = 0.1,
    step: Count | list[Count] | None = None,
    gamma: float | None = None,
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
    target_lr: float | None = None,
    power: float | None = None,
    epochs: int | None,
    iterations: int | None,
) -> list[Factor]:
    """The factors of mmcv's updaters of 2019: a policy, and a warm-up over the first iterations.

    ``epochs`` or ``iterations`` is the length of the run.
    """
    kind = {'CosineAnnealing': 'cosine'}.get(policy, policy)
    check_choice(kind, _POLICIES, f'{path}.policy')
    options = dict(
        step=step,
        gamma=gamma,
        min_lr=min_lr,
        min_lr_ratio=min_lr_ratio,
        target_lr=target_lr,
        power=power,
    )
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        check(name in _POLICIES[kind], f'{path}.{name}', f'the policy {policy!r} has no use for it')
    by_epoch = iterations is None if by_epoch is None else by_epoch
    counted = 'total_iters counts iterations, and so does lr_config: leave it out'
    check(not by_epoch or iterations is None, f'{path}.by_epoch', counted)
    warm = _warmup(path, warmup, warmup_iters, warmup_ratio)
    if kind == 'fixed':
        return warm
    if kind in ('step', 'exp'):
        main = {'step': _step, 'exp': _exponential}[kind](path, **options)
        return [*warm, dict(by_epoch=by_epoch) | main]
    main = {'cosine': _cosine, 'poly': _polynomial}[kind](path, **options)
    length = epochs if iterations is None else iterations
    check(length is not None, 'total_epochs', f'{path} needs to know it')
    pace = dict(by_epoch=by_epoch)
    if iterations is None and not by_epoch:  # every iteration, and as long as the epochs
        pace = dict(by_epoch=True, convert_to_iter_based=True)
    if kind == 'cosine':
        pace['T_max'] = length
    return [*warm, pace | main | dict(end=length)]


def _step(path: str, step: int | list[int] | None = None, gamma: float = 0.1) -> Factor:
    check(step is not None, f'{path}.step', 'this key is needed')
    if isinstance(step, int):
        return dict(type='StepLR', step_size=step, gamma=gamma)
    return dict(type='MultiStepLR', milestones=list(step), gamma=gamma)


def _exponential(path: str, gamma: float | None = None) -> Factor:
    check(gamma is not None, f'{path}.gamma', 'this key is needed')
    return dict(type='ExponentialLR', gamma=gamma)


def _cosine(path: str, **ends: float) -> Factor:
    check(len(ends) <= 1, path, f'{" and ".join(ends)} say the same; keep one')
    if 'min_lr_ratio' in ends:
        return dict(type='CosineAnnealingLR', eta_min_ratio=ends['min_lr_ratio'])
    return dict(type='CosineAnnealingLR', eta_min=next(iter(ends.values()), 0.0))


def _polynomial(path: str, power: float = 1.0, min_lr: float = 0.0) -> Factor:
    return dict(type='PolyLR', power=power, eta_min=min_lr)


def _warmup(path: str, kind: str | None, iterations: int, ratio: float) -> list[Factor]:
    """Schedulers whose product is the warm-up factor: ``ratio`` at iteration 0, 1 at the end.

    In between, at iteration t of T: 1 - (1 - t / T) * (1 - ratio) ('linear'), ratio ('constant')
    or ratio ** (1 - t / T) ('exp').
    """
    if kind is None:
        return []
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
