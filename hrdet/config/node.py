"""Config sections that carry their path, and ``read``, which checks a section and parses it.

The keyword parameters of a reader (a function) are the schema of its section: names, types and
defaults of the keys.  A reader with ``**rest`` translates the keys that it names and passes the
others on to the node, where ``build`` checks them against the constructor.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hrdet.registry import ConfigError, check_keys, check_value, nearest


class Node(dict):
    """A section of a config: a dict with a ``path``, its place in the user's config, for messages.

    ``rest`` holds keys that are passed through unchanged; a key in both ``rest`` and ``values`` is
    an error.  ``names`` are the keys that the node's reader accepts besides ``rest``; ``origins``
    maps every path of the config to the file and line that wrote it.
    """

    __slots__ = ('names', 'origins', 'passed', 'path')

    def __init__(self, path: str, rest: Mapping[str, Any] | None = None, /, **values: Any) -> None:
        rest = rest or {}
        for key in rest:
            check(key not in values, f'{path}.{key}', 'there is no such key here')
        first = {'type': rest['type']} if 'type' in rest else {}
        super().__init__(first | values | rest)
        self.path, self.passed, self.names, self.origins = path, tuple(rest), (), {}

    def replaced(self, **values: Any) -> 'Node':
        """A copy with other values."""
        node = Node(self.path, {}, **{**self, **values})
        node.passed, node.names, node.origins = self.passed, self.names, self.origins
        return node

    def without(self, *keys: str) -> 'Node':
        """A copy without these keys."""
        return Node(self.path, {key: value for key, value in self.items() if key not in keys})


def as_nodes(value: Any, path: str = '') -> Any:
    """A copy of nested dicts, lists and tuples in which every dict is a ``Node``."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f'{path or "config"}: the key {key!r} is not a string')
        start = f'{path}.' if path else ''
        return Node(path, {k: as_nodes(v, f'{start}{k}') for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(as_nodes(item, f'{path}[{i}]') for i, item in enumerate(value))
    return value


def read(reader: Callable[..., Any], section: Any, path: str, **context: Any) -> Any:
    """``reader(path, **section, **context)``, with the section checked against the signature.

    Keys must be its parameters, and values have their annotated types (``registry.check_value``).

    Args:
        reader: takes the path, then the section's keys and the context as keyword arguments; or a
            dataclass, whose keyword-only fields are the keys.
        section: what the user's config holds at ``path``.
        path: where the section stands.
        context: arguments from elsewhere; not keys of the section.

    Raises:
        ConfigError: the section is not a dict, has an unknown key, lacks a needed one, or a value
            is of another type.
    """
    check(isinstance(section, Mapping), path, f'must be a dict, not {section!r}')
    parameters = inspect.signature(reader).parameters
    keys = keys_of(reader, context)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    # 1. Unknown keys first: a misspelt key explains a missing one.
    unknown = [key for key in section if key not in keys and (key in context or not open_ended)]
    check_keys(unknown, keys, path)
    for name in keys:
        here = f'{path}.{name}' if path else name
        # 2. Required keys; a similar key that ``**rest`` would accept is the likely mistake.
        if parameters[name].default is inspect.Parameter.empty and name not in section:
            similar = [key for key in section if key not in keys and nearest(key, [name])]
            check_keys(similar, keys, path)
            raise ConfigError(f'{here}: this key is required')
        if name in section:
            check_value(section[name], parameters[name].annotation, here)
    # 3. Call the reader; a dataclass takes no path.
    place = () if isinstance(reader, type) else (path,)
    result = reader(*place, **section, **context)
    if open_ended and isinstance(result, Node):
        result.names = tuple(keys)
    return result


def keys_of(reader: Callable[..., Any], context: Iterable[str] = ()) -> list[str]:
    """The keys that ``reader`` accepts: its keyword parameters except those in ``context``."""
    parameters = inspect.signature(reader).parameters
    return [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n not in context]


def check(condition: bool, path: str, message: str) -> None:
    """Raise a ConfigError about ``path`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f'{path}: {message}')


def check_choice(value: Any, options: Iterable[Any], path: str) -> None:
    """Raise a ConfigError unless ``value`` is one of ``options``."""
    options = list(options)
    if value not in options:
        names = ', '.join(map(repr, options))
        raise ConfigError(
            f'{path}: {value!r} is not one of {names}{nearest(value, map(str, options))}'
        )


def check_typed(section: Any, path: str) -> Node:
    """The section itself, after checking that it is a dict with a ``type``."""
    check(isinstance(section, Node), path, f'must be a dict with a type, not {section!r}')
    check('type' in section, f'{path}.type', 'this key is required')
    kind = section['type']
    named = isinstance(kind, str) or callable(kind)
    check(named, f'{path}.type', f'{kind!r} is not the name of a class')
    return section


def without_none(section: Node, *keys: str) -> Node:
    """The section without ``keys``, whose only valid value is None."""
    for key in keys:
        check(section.get(key) is None, f'{section.path}.{key}', 'only None exists: leave it out')
    return section.without(*keys)


def is_number(value: Any) -> bool:
    """Whether ``value`` is an int or a float; a bool is not a number here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_count(value: Any, path: str, least: int = 1) -> None:
    """Raise a ConfigError unless ``value`` is an integer of ``least`` or more."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    check(whole and value >= least, path, f'{value!r} is not an integer of {least} or more')
