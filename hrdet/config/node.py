"""Sections of a config that know where they stand, and the one strict way to read them.

The keys a section may have are the parameters of the function that reads it: its signature is the
schema, with the defaults in it.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hrdet.registry import ConfigError, nearest


class Node(dict):
    """A section of a config; ``path`` is its place in the user's config, for messages."""

    __slots__ = ('path',)

    def __init__(self, path: str, /, **values: Any) -> None:
        super().__init__(values)
        self.path = path


def as_nodes(value: Any, path: str = '') -> Any:
    """A copy of nested dicts, lists and tuples in which every dict is a ``Node``."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f'{path or "config"}: the key {key!r} is not a string')
        return Node(
            path, **{k: as_nodes(v, f'{path}.{k}' if path else k) for k, v in value.items()}
        )
    if isinstance(value, (list, tuple)):
        return type(value)(as_nodes(item, f'{path}[{i}]') for i, item in enumerate(value))
    return value


def read(reader: Callable[..., Any], section: Any, path: str, **context: Any) -> Any:
    """``reader(path, **section, **context)``, with the section checked against the signature.

    Args:
        reader: takes the path, then the section's keys and the context as keyword arguments.
        section: what the user's config holds at ``path``.
        path: where the section stands.
        context: arguments from elsewhere; not keys of the section.

    Raises:
        ConfigError: the section is not a dict, has an unknown key or lacks a needed one.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f'{path}: a dict is wanted here, not {section!r}')
    keys = keys_of(reader, context)
    check_keys(section, keys, path)
    parameters = inspect.signature(reader).parameters
    for name in keys:
        needed = parameters[name].default is inspect.Parameter.empty
        check(not needed or name in section, f'{path}.{name}', 'this key is needed')
    return reader(path, **section, **context)


def keys_of(reader: Callable[..., Any], context: Iterable[str] = ()) -> list[str]:
    """The keys that ``reader`` takes from a section: its keyword parameters but the context."""
    parameters = inspect.signature(reader).parameters
    return [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n not in context]


def check_keys(section: Iterable[str], accepted: Iterable[str], path: str) -> None:
    """Raise a ConfigError for the first key of ``section`` that is not ``accepted``."""
    accepted = list(accepted)
    for key in section:
        if key not in accepted:
            raise ConfigError(
                f'{path}.{key}: there is no such key here{nearest(key, accepted)} '
                f'(accepted: {", ".join(accepted)})'
            )


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
    check(isinstance(section, Node), path, f'a dict with a type is wanted here, not {section!r}')
    check('type' in section, f'{path}.type', 'this key is needed')
    return section


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are neither here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_count(value: Any, path: str, least: int = 1) -> None:
    """Raise a ConfigError unless ``value`` is an integer of ``least`` or more."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    check(whole and value >= least, path, f'{value!r} is not an integer of {least} or more')
