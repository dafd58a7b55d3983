"""Compare a saved optimizer state with the optimizer that is about to load it."""

import inspect
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_ANOTHER = "its optimizer is of another kind than the config's"
_NEVER_NEGATIVE = ('step', '_sq', 'square_avg', 'sum', '_var', 'exp_inf', 'acc_delta')
_OF_A_KIND = {'momentum', 'betas', 'alpha', 'rho', 'dampening', 'nesterov', 'eps'}


def check_optimizer_state(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Raise a ValueError unless a saved state fits the optimizer and its parameters exactly.

    torch's fused kernels trust the shapes in a state: a wrong one corrupts memory.  Compared are
    groups, keys, shapes, dtypes, finiteness and ranges; nothing is loaded.
    """
    # 1. The structure: groups, their parameters' indices, and the state by index.
    try:
        groups, values = list(state['param_groups']), dict(state['state'])
        indices = [index for group in groups for index in group['params']]
        sizes = [len(group['params']) for group in groups if 'lr' in group]
        without = set(state.get('without_state', indices))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError('its optimizer state is damaged') from None
    if sizes != [len(group['params']) for group in optimizer.param_groups]:
        raise ValueError(
            'its parameter groups are others: paramwise_cfg, frozen layers or the model differ'
        )
    if indices != list(range(len(indices))) or not values.keys() <= set(indices):
        raise ValueError('its optimizer state is of parameters that do not exist')
    # 2. The settings of each group.
    for group in groups:
        _check_settings(optimizer, group)
    # 3. The state of each parameter, beside an example for each shape, dtype and group.
    expected: dict[tuple, dict[str, Any]] = {}
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    group_of = [group for group in groups for _ in group['params']]
    for index, (parameter, group) in enumerate(zip(parameters, group_of)):
        kind = parameter.shape, parameter.dtype, id(group)
        if kind not in expected:
            expected[kind] = _example_state(optimizer, group, parameter)
        if index in values:
            _check_entries(index, values[index], expected[kind])
        elif expected[kind] and index not in without:
            raise ValueError(f'its optimizer state of parameter {index} is missing')


def laid_out(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A checked state whose tensors lie in memory as their parameters do.

    torch's fused kernels walk through parameters and state in the order of memory: a state in
    another format, such as that of a run without channels_last, would be of other weights.
    """

    def like(parameter: Tensor, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value.clone() if isinstance(value, Tensor) else value
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)

    parameters = [p for group in optimizer.param_groups for p in group['params']]
    values = {
        index: {name: like(parameters[index], value) for name, value in entries.items()}
        for index, entries in state['state'].items()
    }
    return dict(state=values, param_groups=state['param_groups'])


def _check_settings(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
    """Learning rate, momentum and so on: finite, and in the ranges that torch accepts."""
    known = optimizer.defaults.keys()
    if (known & _OF_A_KIND) - group.keys() or (group.keys() & _OF_A_KIND) - known:
        raise ValueError(_ANOTHER)
    for name in known & group.keys() | {'initial_lr'} & group.keys():
        numbers = list(_numbers(group[name]))
        if not all(map(math.isfinite, numbers)) or (
            name.endswith('lr') and min(numbers, default=-1) < 0
        ):
            raise ValueError(f'its optimizer has {name}={group[name]!r}')
    try:
        type(optimizer)([torch.zeros(1)], **_arguments(optimizer, group))  # checks the ranges
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f'torch refuses its optimizer settings: {error}') from None


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif value is not None and not isinstance(value, bool):
        yield math.nan  # text, a tensor: not a setting


def _arguments(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of an optimizer of this class with the settings of a saved group."""
    accepted = inspect.signature(type(optimizer)).parameters
    return {n: group.get(n, v) for n, v in optimizer.defaults.items() if n in accepted}


def _example_state(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], parameter: Tensor
) -> dict[str, Any]:
    """What the optimizer keeps of such a parameter, from a step that torch makes."""
    # A step with a zero gradient creates the state; only its keys, shapes and dtypes are used.
    example = nn.Parameter(torch.zeros(parameter.shape, dtype=parameter.dtype))
    example.grad = torch.zeros_like(example)
    twin = type(optimizer)([example], **_arguments(optimizer, group))
    twin.step()
    return dict(twin.state[example])


def _check_entries(index: int, entries: Any, expected: dict[str, Any]) -> None:
    if not isinstance(entries, dict) or entries.keys() != expected.keys():
        raise ValueError(_ANOTHER)
    # Kind, layout, shape and dtype first: only a plain tensor can be checked for its values.
    for name, wanted in expected.items():
        value, where = entries[name], f'its optimizer state {name} of parameter {index}'
        if type(value) is not type(wanted):
            raise ValueError(f'{where} is a {type(value).__name__}, not {type(wanted).__name__}')
        if not isinstance(value, Tensor):
            continue
        plain = value.layout is torch.strided and not (value.is_quantized or value.is_meta)
        if not plain or value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise ValueError(
                f'{where} is {value.dtype} {tuple(value.shape)}, not {wanted.dtype} '
                f'{tuple(wanted.shape)}'
            )
        if not value.isfinite().all() or (name.endswith(_NEVER_NEGATIVE) and (value < 0).any()):
            raise ValueError(f'{where} has impossible values (infinite, not a number or negative)')
