"""Pieces that the sections of every detector share: losses, matching, classes, the neck's input."""

from typing import Annotated, Any, Literal

from hrdet.config.node import Node, check_choice, check_count, check_typed

Convention = Literal['inclusive', 'continuous']
# Of a head: its classes and the background.
Classes = Annotated[int, 'an integer of 2 or more', lambda n: n >= 2]


def loss(section: Node | None, path: str, **default: Any) -> Node:
    """A loss as it is written, or the default where it is left out."""
    return Node(path, default) if section is None else check_typed(section, path)


def matching(path: str, assigner: Node, sampler: Node) -> dict[str, Any]:
    """The nodes ``assigner`` and ``sampler`` of the section at ``path``."""
    assigner = check_typed(assigner, f'{path}.assigner')
    return dict(assigner=assigner, sampler=_sampler(sampler, f'{path}.sampler'))


def _sampler(section: Node, path: str) -> Node:
    """The samplers inside a CombinedSampler share its numbers."""
    if check_typed(section, path)['type'] != 'CombinedSampler':
        return section
    inner = ('pos_sampler', 'neg_sampler')
    shared = {k: v for k, v in section.items() if k != 'type' and k not in inner}
    parts = {name: check_typed(section.get(name), f'{path}.{name}') for name in inner}
    return section.replaced(**{k: part.replaced(**shared | part) for k, part in parts.items()})


def nms(section: Any, path: str) -> Node:
    """A section ``nms``, of one of the two kinds."""
    check_choice(check_typed(section, path)['type'], ('nms', 'soft_nms'), f'{path}.type')
    return section


def own_head(section: Node, path: str) -> Node:
    """A head of the user's own: as it is written, but ``num_classes`` is without the background.

    Left out, it is None, which ``with_num_classes`` fills in.
    """
    node = section.replaced(num_classes=without_background(section.get('num_classes'), path))
    node.names = ('num_classes',)
    return node


def without_background(num_classes: int | None, path: str) -> int | None:
    """``num_classes`` of a head at ``path`` as the number of real classes."""
    if num_classes is None:
        return None
    check_count(num_classes, f'{path}.num_classes', least=2)
    return num_classes - 1


def neck(section: Node, backbone: Node, path: str) -> Node:
    """HRNet's short form ``width`` tells the neck its input: w, 2w, 4w and 8w channels."""
    check_typed(section, path)
    width = str(backbone.get('width')).partition('-')[0]  # 18, or '18-small'
    if 'in_channels' in section or not width.isdigit():
        return section
    return section.replaced(in_channels=[int(width) * factor for factor in (1, 2, 4, 8)])
