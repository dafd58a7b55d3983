"""Values as the text of a Python file."""

import keyword
import math
from collections.abc import Mapping
from typing import Any

from hrdet.registry import ConfigError

_WIDTH = 100


def as_text(values: Mapping[str, Any]) -> str:
    """One assignment a key.

    Raises:
        ConfigError: a value that no Python literal can stand for, such as an object.
    """
    return ''.join(
        f'{key} = {_text(value, key, 0, len(key) + 3)}\n' for key, value in values.items()
    )


def _text(value: Any, path: str, depth: int, used: int) -> str:
    """``value`` on one line if it fits behind ``used`` characters, else an item a line."""
    if not isinstance(value, (Mapping, list, tuple)):
        return _literal(value, path)
    if isinstance(value, Mapping):
        names = all(isinstance(key, str) and _is_name(key) for key in value)
        start, end = ('dict(', ')') if names else ('{', '}')
        prefixes = [f'{key}=' if names else f'{_literal(key, path)}: ' for key in value]
        items = list(zip(prefixes, value.values(), (f'{path}.{key}' for key in value)))
    else:
        start, end = '[]' if isinstance(value, list) else '()'
        items = [('', item, f'{path}[{i}]') for i, item in enumerate(value)]
    texts = [prefix + _text(item, place, 0, -(10**9)) for prefix, item, place in items]
    line = start + ', '.join(texts) + (',' if start == '(' and len(items) == 1 else '') + end
    if used + len(line) <= _WIDTH:
        return line
    indent = ' ' * 4 * (depth + 1)
    rows = [
        indent + prefix + _text(item, place, depth + 1, len(indent + prefix) + 1) + ','
        for prefix, item, place in items
    ]
    return '\n'.join([start, *rows, ' ' * 4 * depth + end])


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
