"""The optimizer: parameter groups and the fused kernels of torch.optim."""

import inspect
from typing import Any

import torch
from torch import nn

from hrdet.messages import plural
from hrdet.ranges import NotNegative, Positive, Share
from hrdet.registry import ConfigError, check_value, nearest

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
_RANGES = {
    'lr': Positive,
    'weight_decay': NotNegative,
    'momentum': Share,
    'betas': tuple[Share, Share],
    'alpha': Share,
    'eps': NotNegative,
    'dampening': Share,
}
_PARAMWISE = ('bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'custom_keys')


def build_optimizer(model: nn.Module, options: dict[str, Any]) -> torch.optim.Optimizer:
    """A torch optimizer over the trainable parameters.

    ``options`` holds ``type`` (a class of torch.optim), its arguments, and ``paramwise_cfg`` with
    multipliers for biases (of convolutions and linear layers), norm layers, and parameters whose
    name contains a key of ``custom_keys`` (dict(lr_mult, decay_mult); the longest key wins).
    Parameters with equal multipliers share a group: a step on a few large groups is a few kernel
    launches.

    Raises:
        ConfigError: unknown type, argument or multiplier; names their place, ``options.path``.
    """
    path, options = getattr(options, 'path', 'optimizer'), dict(options)
    kind = options.pop('type')
    multipliers = options.pop('paramwise_cfg', None) or {}
    cls = getattr(torch.optim, kind, None)
    if not (inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)):
        known = [n for n, c in vars(torch.optim).items() if inspect.isclass(c)]
        raise ConfigError(f'{path}.type: torch.optim has no {kind!r}{nearest(kind, known)}')
    accepted = inspect.signature(cls).parameters
    for name in options:
        if name not in accepted:
            raise ConfigError(
                f'{path}.{name}: {kind} takes no such argument{nearest(name, accepted)}'
            )
        check_value(options[name], _RANGES.get(name, Any), f'{path}.{name}')
    # Fused kernels where the algorithm has them; torch's fused SGD has no dampening.
    groups = _parameter_groups(model, options, multipliers)
    if 'fused' in accepted and not {'fused', 'foreach'} & set(options):
        options['fused'] = not options.get('dampening')
    optimizer = cls(groups, **options)
    if kind == 'SGD' and options.get('fused') and options.get('momentum'):
        _start_momentum(optimizer)
    return optimizer


def _start_momentum(optimizer: torch.optim.SGD) -> None:
    """Start with zero momentum, which the first step turns into the gradient as usual.

    torch's fused SGD allocates the buffer uninitialised, and leaves it so when fp16's first
    gradients are infinite, as they usually are.
    """
    for group in optimizer.param_groups:
        for parameter in group['params']:
            optimizer.state[parameter]['momentum_buffer'] = torch.zeros_like(parameter)


def _parameter_groups(
    model: nn.Module, options: dict[str, Any], multipliers: dict[str, Any]
) -> list[dict[str, Any]]:
    for name in multipliers:
        if name not in _PARAMWISE:
            raise ConfigError(
                f'optimizer.paramwise_cfg.{name}: unknown{nearest(name, _PARAMWISE)}. '
                f'It accepts: {", ".join(_PARAMWISE)}'
            )
        _check_factors(multipliers[name], f'optimizer.paramwise_cfg.{name}')
    # 1. Parameters by their multipliers (learning rate, weight decay).
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix=module_name, recurse=False):
            if parameter.requires_grad:
                factors = _factors(name, module, multipliers)
                groups.setdefault(factors, []).append(parameter)
    # 2. One group for each pair of multipliers.
    result = []
    for (lr, decay), parameters in groups.items():
        group: dict[str, Any] = {'params': parameters}
        if lr != 1.0:
            group['lr'] = options['lr'] * lr
        if decay != 1.0:
            group['weight_decay'] = options.get('weight_decay', 0.0) * decay
        result.append(group)
    return result


def _check_factors(value: Any, path: str) -> None:
    """A factor of the learning rate or the weight decay, or a dict of such by name."""
    if not isinstance(value, dict):
        return check_value(value, NotNegative, path)
    for name, part in value.items():
        _check_factors(part, f'{path}.{name}')


def _factors(name: str, module: nn.Module, multipliers: dict[str, Any]) -> tuple[float, float]:
    """Multipliers ``(learning rate, weight decay)`` of one parameter."""
    custom = multipliers.get('custom_keys', {})
    # The longest key first; of equally long ones the first in the alphabet.
    for key in sorted(custom, key=lambda k: (-len(k), k)):
        if key in name:
            return custom[key].get('lr_mult', 1.0), custom[key].get('decay_mult', 1.0)
    # Norms by their type, not by name: all of them keep the base learning rate.
    if isinstance(module, _NORMS):
        return 1.0, multipliers.get('norm_decay_mult', 1.0)
    if name.endswith('.bias') or name == 'bias':
        return multipliers.get('bias_lr_mult', 1.0), multipliers.get('bias_decay_mult', 1.0)
    return 1.0, 1.0


def scale_lr(
    optimizer: torch.optim.Optimizer,
    processes: int,
    images: int,
    accumulate: int,
    settings: dict[str, Any] | None,
) -> str:
    """Scale the learning rate by the images of a step over those that the config declares it for.

    Args:
        optimizer: changed in place.
        processes: of the run.
        images: in a batch of one process.
        accumulate: batches in a step.
        settings: ``base_batch_size`` and ``enable``; None leaves everything as it is.

    Returns:
        A line for the log.
    """
    # Linear scaling (Goyal et al. 2017): twice the images per step, twice the learning rate.
    actual = processes * images * accumulate
    base = (settings or {}).get('base_batch_size')
    lr = optimizer.param_groups[0]['lr']
    line = (
        f'{plural(processes, "process", "processes")} x {plural(images, "image")} x '
        f'{accumulate} accumulated = {plural(actual, "image")} a step; '
    )
    if not base:
        return f'{line}lr {lr:g}'
    line += f'the config declares lr {lr:g} for {base}'
    if actual == base or not settings.get('enable', True):
        return f'{line}: taken as it is'
    for group in optimizer.param_groups:
        group['lr'] *= actual / base
    return f'{line}: scaled to {lr * actual / base:g} (--no-auto-scale-lr to keep {lr:g})'
