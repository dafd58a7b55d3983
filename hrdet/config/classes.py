"""The number of classes: from the data set into the model, or checked against it."""

from collections.abc import Iterator, Sequence
from typing import Any

from hrdet.config.node import Node
from hrdet.messages import plural
from hrdet.registry import ConfigError


def with_num_classes(model: Node, num_classes: int) -> Node:
    """A copy of a lowered model in which every head without ``num_classes`` has this many.

    ``num_classes`` is K, the classes of the data set; the background is not counted.
    """
    return _filled(model, num_classes)


def check_num_classes(model: Node, classes: Sequence[str]) -> None:
    """Raise a ConfigError where a head of a lowered model expects other classes than there are."""
    for head in _heads(model):
        k = head['num_classes']
        if k is not None and k != len(classes):
            names = ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')
            ours, theirs = (plural(n, 'class', 'classes') for n in (k, len(classes)))
            error = ConfigError(
                f'{head.path}.num_classes: {k + 1} means {ours} and the background, but the '
                f'data set has {theirs} ({names}): write {len(classes) + 1}, or '
                f'leave num_classes out and it is taken from the data set'
            )
            error.locate(head.origins)
            raise error


def _filled(value: Any, num_classes: int) -> Any:
    if isinstance(value, Node):
        filled = {k: _filled(v, num_classes) for k, v in value.items()}
        if 'num_classes' in filled and filled['num_classes'] is None:
            filled['num_classes'] = num_classes
        return value.replaced(**filled)
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(item, num_classes) for item in value)
    return value


def _heads(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        if 'num_classes' in value:
            yield value
        for item in value.values():
            yield from _heads(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _heads(item)
