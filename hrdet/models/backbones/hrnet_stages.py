"""The stages of an HRNet, from a published width or from ``extra`` of the 2019 configs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from hrdet.models.layers import BasicBlock, Bottleneck
from hrdet.registry import nearest

BLOCKS: dict[str, type[nn.Module]] = {'BASIC': BasicBlock, 'BOTTLENECK': Bottleneck}
WIDTHS = (18, 30, 32, 40, 44, 48, 64, '18-small', '18-small-v1')
_TOO_MANY = 1 << 16  # blocks, modules or channels
_KEYS = ('num_modules', 'num_branches', 'block', 'num_blocks', 'num_channels', 'fuse_method')


@dataclass(frozen=True, slots=True)
class Stage:
    """``num_modules`` HRModules in a row; one entry of the tuples for every branch."""

    num_modules: int
    block: type[nn.Module]
    num_blocks: tuple[int, ...]
    num_channels: tuple[int, ...]

    @property
    def out_channels(self) -> tuple[int, ...]:
        return tuple(c * self.block.expansion for c in self.num_channels)


def stages_of_width(width: int | str) -> list[Stage]:
    """The four stages of a published HRNetV2; ``'18-small'`` is W18-small v2.

    Sources: Wang et al. 2019 (arXiv 1908.07919), table 3; HRNet-Image-Classification for v2.
    """
    if width not in WIDTHS:
        raise ValueError(
            f'width: there is no HRNet of width {width!r}; published are '
            f'{", ".join(map(repr, WIDTHS))}. For a shape of your own give extra=dict(stage1=...)'
        )
    # Channels of branch 0 (branch i has 2**i times as many), blocks a branch, modules of stages 2
    # to 4, and the first stage.
    shapes = {
        '18-small': (18, 2, (1, 3, 2), Stage(1, Bottleneck, (2,), (64,))),
        '18-small-v1': (16, 2, (1, 1, 1), Stage(1, Bottleneck, (1,), (32,))),
    }
    normal = (width, 4, (1, 4, 3), Stage(1, Bottleneck, (4,), (64,)))
    finest, blocks, modules, first = shapes.get(width, normal)
    return [first] + [
        Stage(
            modules[n - 2],
            BasicBlock,
            (blocks,) * n,
            tuple(finest * 2**branch for branch in range(n)),
        )
        for n in (2, 3, 4)
    ]


def stages_of_extra(extra: Mapping[str, Any]) -> list[Stage]:
    """The four stages from ``extra=dict(stage1=dict(...), ..., stage4=dict(...))``.

    Raises:
        ValueError: a missing or unknown key, or numbers that contradict each other; the message
            names the place.
    """
    names = [f'stage{n}' for n in (1, 2, 3, 4)]
    _check_keys(extra, 'extra', names, required=names)
    return [_stage(extra[name], f'extra.{name}', n) for n, name in enumerate(names, start=1)]


def _stage(node: Mapping[str, Any], path: str, branches: int) -> Stage:
    # ``fuse_method`` may be left out; everything else is needed.
    _check_keys(node, path, _KEYS, required=_KEYS[:-1])
    # 1. What every HRNet has: the number of branches, one of two blocks, fusion by summation.
    if node['num_branches'] != branches:
        raise ValueError(
            f'{path}.num_branches: this stage of HRNet has {branches}, not {node["num_branches"]}'
        )
    if node['block'] not in tuple(BLOCKS):
        raise ValueError(f"{path}.block must be 'BASIC' or 'BOTTLENECK', not {node['block']!r}")
    if node.get('fuse_method', 'SUM') != 'SUM':
        raise ValueError(f"{path}.fuse_method: only 'SUM' is known, not {node['fuse_method']!r}")
    # 2. One number for each branch, and how many modules follow each other.
    for key in ('num_blocks', 'num_channels'):
        numbers = node[key]
        if not isinstance(numbers, (list, tuple)) or len(numbers) != branches:
            raise ValueError(
                f'{path}.{key} needs {branches} numbers, one for each branch, not {numbers!r}'
            )
        for number in numbers:
            _check_count(number, f'{path}.{key}')
    _check_count(node['num_modules'], f'{path}.num_modules')
    return Stage(
        node['num_modules'],
        BLOCKS[node['block']],
        tuple(node['num_blocks']),
        tuple(node['num_channels']),
    )


def _check_count(value: Any, path: str) -> None:
    if type(value) is not int or not 0 < value < _TOO_MANY:
        raise ValueError(f'{path}: {value!r} is not a whole number from 1 to {_TOO_MANY - 1}')


def _check_keys(node: Any, path: str, known, required) -> None:
    if not isinstance(node, Mapping):
        raise ValueError(f'{path} must be a dict, not {node!r}')
    for key in node:
        if key not in known:
            raise ValueError(
                f'{path}.{key}: no such key{nearest(key, known)}; accepted: {", ".join(known)}'
            )
    for key in required:
        if key not in node:
            raise ValueError(f'{path}.{key} is missing')
