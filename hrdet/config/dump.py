"""Write config values as the source of a Python file."""

import keyword
import math
from collections.abc import Mapping
from typing import Any

from hrdet.registry import ConfigError

_WIDTH = 100


def as_text(values: Mapping[str, Any]) -> str:
    """One assignment per key; a ``Node`` whose path differs is followed by it as a comment.

    Raises:
        ConfigError: a value that is not a Python literal, such as an object.
    """
    rows = (_row(f'{key} = ', value, key, 0, '') for key, value in values.items())
    return ''.join(f'{row}\n' for row in rows)


def _row(start: str, value: Any, path: str, depth: int, end: str) -> str:
    """``start`` and the value: on one line if it fits, else with an item a line."""
    origin = f'  # {value.path}' if getattr(value, 'path', path) != path else ''
    start = ' ' * 4 * depth + start
    line = start + _line(value, path) + end + origin
    if len(line) <= _WIDTH or not isinstance(value, (Mapping, list, tuple)):
        return line
    # Too long: one item per line, each with its own limit.
    opening, closing, items = _items(value, path)
    rows = [_row(prefix, item, place, depth + 1, ',') for prefix, item, place in items]
    return '\n'.join([start + opening + origin, *rows, ' ' * 4 * depth + closing + end])


def _line(value: Any, path: str) -> str:
    if not isinstance(value, (Mapping, list, tuple)):
        return _literal(value, path)
    opening, closing, items = _items(value, path)
    texts = [prefix + _line(item, place) for prefix, item, place in items]
    single = ',' if opening == '(' and len(items) == 1 else ''
    return opening + ', '.join(texts) + single + closing


def _items(value: Any, path: str) -> tuple[str, str, list[tuple[str, Any, str]]]:
    """The brackets of a dict, list or tuple, and what stands before each item, with its path."""
    if not isinstance(value, Mapping):
        items = [('', item, f'{path}[{i}]') for i, item in enumerate(value)]
        return ('[', ']', items) if isinstance(value, list) else ('(', ')', items)
    names = all(isinstance(key, str) and _is_name(key) for key in value)
    prefixes = [f'{key}=' if names else f'{_literal(key, path)}: ' for key in value]
    items = list(zip(prefixes, value.values(), (f'{path}.{key}' for key in value)))
    return ('dict(', ')', items) if names else ('{', '}', items)


def _is_name(key: str) -> bool:
    return key.isidentifier() and not keyword.iskeyword(key)


def _literal(value: Any, path: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return repr(value)
    if isinstance(value, (set, frozenset)):
        items = ', '.join(sorted(_literal(item, path) for item in value))
        return f'{type(value).__name__}([{items}])'
    raise ConfigError(
        f'{path}: {value!r} cannot be written to a config file: neither a number, nor a '
        f'string, list or dict'
    )
