"""Config values: nested dicts with attribute access, and the origin of every value."""

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hrdet.config.dump import as_text
from hrdet.registry import ConfigError

OVERRIDE = '--cfg-options'


class Config(dict):
    """A section of a config: ``config.model.backbone.width`` and ``config['model']`` both work.

    ``origins`` maps each key to where its value was written: ``configs/my.py:12``, or
    ``OVERRIDE``; a value set in Python code has no origin.  ``filename`` is set at the top only.
    """

    __slots__ = ('filename', 'origins')

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.filename, self.origins = None, {}
        self.update(values or {})
        if isinstance(values, Config):
            self.filename, self.origins = values.filename, dict(values.origins)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f'the config has no {name!r} here') from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Config.__slots__:
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, as_config(value))
        self.origins.pop(key, None)

    def set(self, key: str, value: Any, origin: str | None) -> 'Config':
        """Set a value (a section itself, no copy) with the place that wrote it; returns self."""
        super().__setitem__(key, value if isinstance(value, Config) else as_config(value))
        self.origins.pop(key, None)
        self.origins |= {} if origin is None else {key: origin}
        return self

    def update(self, *others: Mapping[str, Any], **values: Any) -> None:
        for key, value in dict(*others, **values).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Mapping[str, Any]) -> 'Config':
        self.update(other)
        return self

    def __deepcopy__(self, memo: dict) -> 'Config':
        return Config(self)

    def copy(self) -> 'Config':
        return Config(self)

    def __reduce__(self) -> tuple:
        state = {'filename': self.filename, 'origins': self.origins}
        return Config, (), (None, state), None, iter(self.items())

    def override(self, path: str, value: Any) -> None:
        """Set the value at a dotted path; a number is a list index, and dicts are merged.

        Raises:
            ConfigError: the path leads into something that is neither a section nor a list.
        """
        # 1. Walk to the section or list; ``owner`` is the last key that can hold an origin.
        *sections, key = path.split('.')
        place: Any = self
        owner = self, key
        for name in sections:
            if isinstance(place, Config):
                owner = place, name
                if place.get(name) is None:
                    place.set(name, {}, OVERRIDE)
            place = _item(place, name, path)
        # 2. In a section the value is merged, and so is a dict in a list; other items are replaced.
        if isinstance(place, Config):
            merge(place, {key: value}, OVERRIDE)
            return
        old = _item(place, key, path)
        if isinstance(old, Config) and isinstance(value, Mapping):
            merge(old, value, OVERRIDE)
        else:
            place[int(key)] = as_config(value)
            section, name = owner
            section.origins[name] = OVERRIDE

    def merge_from_dict(self, options: Mapping[str, Any]) -> None:
        """``override`` each path with its value; mmengine's name."""
        for path, value in options.items():
            self.override(path, value)

    def to_dict(self) -> dict[str, Any]:
        """The same values as plain dicts."""
        return _plain(self)

    @property
    def pretty_text(self) -> str:
        """A config file that loads to the same values."""
        return as_text(self)

    def dump(self, file: str | Path) -> None:
        """Write that file."""
        Path(file).write_text(self.pretty_text, encoding='utf-8')


def as_config(value: Any) -> Any:
    """A copy of nested dicts, lists and tuples whose dicts are sections; origins are kept."""
    if isinstance(value, Mapping):
        return Config(value)
    if isinstance(value, (list, tuple)):
        items = [as_config(item) for item in value]
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def values_of(section: Any, path: str = '') -> Iterator[tuple[str, Any, str | None]]:
    """``(path, value, origin)`` of every value in dicts and lists, outer ones first."""
    if isinstance(section, Mapping):
        for key, value in section.items():
            inner = f'{path}.{key}' if path else str(key)
            yield inner, value, getattr(section, 'origins', {}).get(key)
            yield from values_of(value, inner)
    elif isinstance(section, (list, tuple)):
        for i, value in enumerate(section):
            yield from values_of(value, f'{path}[{i}]')


def origins_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The place that wrote each value, by the value's path."""
    return {path: origin for path, _, origin in values_of(config) if origin}


def merge(base: Config, changes: Mapping[str, Any], origin: str | None = None) -> Config:
    """``base`` with the changes: dicts are merged key by key, everything else is replaced.

    ``_delete_=True`` in a dict replaces the whole dict.  ``origin`` is that of changes without one.
    """
    # A changed value brings its own origin; values of the base that are kept, keep theirs.
    for key, value in changes.items():
        place = getattr(changes, 'origins', {}).get(key, origin)
        if isinstance(value, Mapping):
            # A dict over anything but a dict replaces it, and ``_delete_`` inside it is honoured.
            fresh = value.get('_delete_') is True or not isinstance(base.get(key), Config)
            value = merge(Config() if fresh else base[key], value, origin)
        if key != '_delete_':
            base.set(key, value, place)
    return base


def _item(place: Any, key: str, path: str) -> Any:
    """``place[key]``, where ``place`` is a section or a list."""
    if isinstance(place, Config):
        return place[key]
    if not isinstance(place, list):
        raise ConfigError(f'{path}: cannot be overridden: {place!r} has no part {key!r}')
    if not (key.isdigit() and int(key) < len(place)):
        raise ConfigError(f'{path}: cannot be overridden: {key} of a list of {len(place)}')
    return place[int(key)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item) for item in value]
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    return copy.deepcopy(value)
