"""One flat table of names and the builder that turns a tree of config nodes into live objects.

A node is a dict with a ``type``; every other key is an argument of that class.  Nodes inside
lists, tuples and dicts are built first, so that a constructor receives live objects and plain
values and no module ever holds a config.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_CLASSES: dict[str, type] = {}


class ConfigError(ValueError):
    """A config that cannot mean anything: the message names the path, the value and the cure."""

    located = False

    def locate(self, origins: Mapping[str, str]) -> None:
        """Name the file and line of the value whose path begins the message.

        ``origins`` are places by path; the nearest section stands for a value that was not written.
        """
        path = section = re.match(r'[\w.\[\]]*', str(self))[0]
        while section and section not in origins:
            section = section[: max(section.rfind('.'), section.rfind('['), 0)]
        if section and not self.located:
            place = origins[section]
            place = f'written in {place}' if ':' in place else f'set by {place}'
            where = place if section == path else f'in the section {place}'
            self.located = True
            self.args = (f'{path}, {where}{str(self)[len(path) :]}',)


def register(*names: str) -> Callable[[type], type]:
    """Class decorator: make the class buildable under its own name, or under ``names``.

    Raises:
        ConfigError: when a name already belongs to another class.
    """

    def add(cls: type) -> type:
        for name in names or (cls.__name__,):
            known = _CLASSES.get(name)
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise ConfigError(
                    f'the type name {name!r} belongs to {known.__module__}.{known.__qualname__}; '
                    f'register {cls.__module__}.{cls.__qualname__} under another name'
                )
            _CLASSES[name] = cls
        return cls

    return add


def registered(name: str, path: str = 'config') -> type:
    """The class behind a type name; an unknown name is a ConfigError with the nearest one."""
    if name not in _CLASSES:
        raise ConfigError(
            f'{path}.type: there is no {name!r}{nearest(name, _CLASSES)}. '
            f'Known types: {", ".join(sorted(_CLASSES))}. A class of your own must be imported '
            f"first: custom_imports=dict(imports=['my_module'])"
        )
    return _CLASSES[name]


def nearest(word: str, known: Iterable[str]) -> str:
    """``'; did you mean 'x'?'`` for the known name closest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f'; did you mean {matches[0]!r}?' if matches else ''


def build(
    node: Any, path: str = 'config', inherited: dict[str, Any] | None = None, **extra: Any
) -> Any:
    """Build a node and everything inside it, bottom-up.

    Arguments of a class that it names in its attribute ``passes_on`` also go to every part inside
    of it that takes them and has no value of its own: what holds for a whole model is said once.

    Args:
        node: a dict with ``type`` (built), any other dict, list or tuple (its items are built), or
            a plain value or live object (returned as it is).
        path: where the node stands in the user's config, for messages; a node that carries its own
            origin in an attribute ``path`` (``hrdet.config.Node``) wins.
        inherited: arguments that the surrounding nodes pass on.
        extra: live objects passed to the outermost constructor beside the node's own arguments.

    Raises:
        ConfigError: unknown type, unknown argument (with the nearest known one and the list of
            those accepted), missing argument, a word or number for a switch.
    """
    if isinstance(node, dict):
        path = getattr(node, 'path', None) or path
        inherited = (inherited or {}) | _passed_on(node)
        values = {
            key: build(value, f'{path}.{key}', inherited)
            for key, value in node.items()
            if key != 'type'
        }
        if 'type' not in node:
            return values
        return _call(node['type'], values | extra, path, inherited)
    if isinstance(node, (list, tuple)):
        return type(node)(build(item, f'{path}[{i}]', inherited) for i, item in enumerate(node))
    return node


def _passed_on(node: dict[str, Any]) -> dict[str, Any]:
    cls = node.get('type')
    names = getattr(_CLASSES.get(cls) if isinstance(cls, str) else cls, 'passes_on', ())
    return {name: node[name] for name in names if name in node}


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Of the constructor; its ``**others`` are those of the registered class that it extends."""
    own = dict(inspect.signature(cls).parameters)
    others = [name for name, p in own.items() if p.kind is p.VAR_KEYWORD]
    if others and cls.__base__ in _CLASSES.values():
        del own[others[0]]
        return _parameters(cls.__base__) | own
    return own


def _is_switch(parameter: inspect.Parameter) -> bool:
    bare = parameter.annotation is inspect.Parameter.empty
    return parameter.annotation is bool or (bare and isinstance(parameter.default, bool))


def _call(kind: str | type, arguments: dict[str, Any], path: str, inherited: dict[str, Any]) -> Any:
    cls = kind if isinstance(kind, type) else registered(kind, path)
    parameters = _parameters(cls)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = [n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    arguments = {name: inherited[name] for name in inherited if name in named} | arguments
    unknown = [name for name in arguments if name not in named]
    if unknown and not takes_any:
        raise ConfigError(
            f'{path}.{unknown[0]}: {cls.__name__} takes no such argument'
            f'{nearest(unknown[0], named)}. It accepts: {", ".join(named) or "nothing"}'
        )
    missing = [
        n for n in named if parameters[n].default is inspect.Parameter.empty and n not in arguments
    ]
    if missing:
        raise ConfigError(f'{path}.{missing[0]}: {cls.__name__} needs this argument')
    for name, value in arguments.items():  # 'no', as any word, would count as true
        if name in parameters and _is_switch(parameters[name]) and not isinstance(value, bool):
            raise ConfigError(f'{path}.{name}: must be True or False, not {value!r}')
    try:
        return cls(**arguments)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{path} ({cls.__name__}): {error}') from error
