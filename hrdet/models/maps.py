"""What is known of feature maps before there are any, so that parts which do not fit are told of.

hrdet's parts state what they take in ``in_channels`` and ``strides``, its necks what they make in
``levels``.  Of a class of the user only the maps of a backbone are known.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from hrdet.registry import ConfigError


class Maps(NamedTuple):
    """Feature maps, finest first."""

    channels: Sequence[int]
    strides: Sequence[int]  # input pixels per feature pixel


def maps_of(backbone: nn.Module, necks: Sequence[nn.Module]) -> Maps | None:
    """The maps that the last neck makes; None where a part does not state them.

    Raises:
        ConfigError: a neck does not take the maps of the part before it.
    """
    maps = getattr(backbone, 'maps', None)
    for neck in necks:
        check_takes(neck, 'neck', maps, 'the backbone')
        maps = neck.levels(maps) if maps is not None and is_own(neck) else None
    return maps


def is_own(part: nn.Module) -> bool:
    """Whether the class is hrdet's, and not one that a user derived from it."""
    return type(part).__module__.startswith('hrdet.')


def check_takes(
    part: nn.Module, name: str, maps: Maps | None, giver: str = 'the neck', all_maps: bool = True
) -> None:
    """Raise a ConfigError unless a part takes these maps: all, or the finest, one for a stride."""
    if maps is None or not is_own(part):
        return
    # 1. What it is given, and what it takes; what it does not state it takes as it comes.
    strides = list(getattr(part, 'strides', maps.strides))
    channels, given = (list(x if all_maps else x[: len(strides)]) for x in maps)
    wanted = getattr(part, 'in_channels', channels)
    wanted = [wanted] * len(channels) if isinstance(wanted, int) else list(wanted)
    # 2. The number of maps is that of their strides.
    for noun, its, theirs in ('strides', strides, given), ('channels', wanted, channels):
        if its != theirs:
            raise ConfigError(
                f'model.{name}: takes maps of the {noun} {its}, but {giver} gives {theirs}'
            )
