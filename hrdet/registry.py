"""One flat table of class names, and ``build``, which makes objects from a tree of config nodes.

A node is a dict with a ``type``; every other key is an argument of that class.  Nodes inside
lists, tuples and dicts are built first, so that constructors receive objects and plain values, and
no module holds a config.
"""

import difflib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

Class = TypeVar('Class', bound=type)
_CLASSES: dict[str, type] = {}
_HUGE = 2**63  # numbers of a config are smaller, as the integers of C are
_WORDS = {
    bool: 'one of True, False',
    int: 'an integer',
    float: 'a finite number',
    str: 'a string',
    NoneType: 'None',
}


class ConfigError(ValueError):
    """An invalid config; the message names the path, the value and the cure."""

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


def register(*names: str) -> Callable[[Class], Class]:
    """Class decorator: make the class buildable under its own name, or under ``names``.

    Raises:
        ConfigError: when a name already belongs to another class.
    """

    def add(cls: Class) -> Class:
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


def is_custom(name: str) -> bool:
    """Whether a class that is not hrdet's is registered under this name."""
    return name in _CLASSES and not _CLASSES[name].__module__.startswith('hrdet.')


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """``'; did you mean 'x'?'`` for the known name closest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return f'; did you mean {matches[0]!r}?' if matches else ''


def check_keys(section: Iterable[str], accepted: Iterable[str], path: str) -> None:
    """Raise a ConfigError for the first key of ``section`` that is not ``accepted``."""
    accepted = list(accepted)
    for key in section:
        if key not in accepted:
            raise ConfigError(
                f'{path}.{key}: there is no such key here{nearest(key, accepted)} '
                f'(accepted: {", ".join(accepted) or "none"})'
            )


def build(
    node: Any, path: str = 'config', inherited: Mapping[str, Any] | None = None, **extra: Any
) -> Any:
    """Build a node and everything inside it, bottom-up.

    Arguments of a class that it names in its attribute ``passes_on`` also go to every part inside
    of it that takes them and has no value of its own: a value for a whole model is written once.

    Args:
        node: a dict with ``type`` (built), any other dict, list or tuple (its items are built), or
            a plain value or live object (returned as it is).
        path: where the node stands in the user's config, for messages; a node that carries its own
            origin in an attribute ``path`` (``hrdet.config.Node``) wins.
        inherited: arguments that the surrounding nodes pass on.
        extra: live objects passed to the outermost constructor beside the node's own arguments.

    Raises:
        ConfigError: unknown type, unknown argument (with the nearest known one and the list of
            those accepted), missing argument, a value of another type than the argument's.
    """
    return _walk(node, path, inherited or {}, _call, extra)


def check(node: Any, path: str = 'config', **extra: Any) -> None:
    """Raise the ConfigErrors of ``build`` that need no constructor call; fast."""
    _walk(node, path, {}, lambda *_: object(), extra)


def _walk(
    node: Any,
    path: str,
    inherited: Mapping[str, Any],
    make: Callable[[type, dict[str, Any], str], Any],
    extra: Mapping[str, Any],
) -> Any:
    if isinstance(node, (list, tuple)):
        parts = enumerate(node)
        return type(node)(_walk(part, f'{path}[{i}]', inherited, make, {}) for i, part in parts)
    if not isinstance(node, dict):
        return node
    path = getattr(node, 'path', None) or path
    try:
        kind = node.get('type')
        if 'type' in node and not isinstance(kind, (str, type)):
            raise ConfigError(f'{path}.type: {kind!r} is not the name of a class')
        cls = registered(kind, path) if isinstance(kind, str) else kind
        # What the class passes on reaches every part inside of it.
        passed_on = {n: node[n] for n in getattr(cls, 'passes_on', ()) if n in node}
        inherited = {**inherited, **passed_on}
        # Parts are built first: a constructor receives objects.
        parts = ((name, part) for name, part in node.items() if name != 'type')
        values = {n: _walk(part, f'{path}.{n}', inherited, make, {}) for n, part in parts}
        if 'type' not in node:
            return values
        values = _checked(cls, values | dict(extra), inherited, path, node)
        return make(cls, values, path)
    except ConfigError as error:
        error.locate(getattr(node, 'origins', {}))
        raise


def _call(cls: type, arguments: dict[str, Any], path: str) -> Any:
    try:
        return cls(**arguments)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{path} ({cls.__name__}): {error}') from error


def _checked(
    cls: type,
    arguments: dict[str, Any],
    inherited: Mapping[str, Any],
    path: str,
    node: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments of a constructor, those that it inherits among them."""
    # Inherited values fill in what the node does not state, if the constructor takes them.
    parameters = _parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = [n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    arguments = {n: value for n, value in inherited.items() if n in named} | arguments
    unknown = [name for name in arguments if name not in named]
    if unknown and not open_ended:
        _raise_unknown(unknown, named, arguments, path, node)
    for name in named:
        parameter = parameters[name]
        if name in arguments:
            # Without an annotation a default of True or False still asks for a bool.
            annotation = parameter.annotation
            if annotation is parameter.empty and isinstance(parameter.default, bool):
                annotation = bool
            check_value(arguments[name], annotation, f'{path}.{name}')
        elif parameter.default is parameter.empty:
            raise ConfigError(f'{path}.{name}: {cls.__name__} needs this argument')
    return arguments


def _raise_unknown(
    unknown: list[str],
    named: list[str],
    arguments: Mapping[str, Any],
    path: str,
    node: Mapping[str, Any],
) -> None:
    # Of a ``hrdet.config.Node``: the user's names, and the arguments with the names that the
    # user gives; all others come from its reader.
    names, passed = getattr(node, 'names', ()), getattr(node, 'passed', named)
    free = (n for n in named if n not in names and (n in passed or n not in arguments))
    check_keys(unknown, [*names, *free], path)


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The constructor's parameters; ``**others`` stand for the extended class's parameters."""
    try:
        own = dict(inspect.signature(cls, eval_str=True).parameters)
    except NameError:  # an annotation that exists for type checkers only
        own = dict(inspect.signature(cls).parameters)
    others = [name for name, p in own.items() if p.kind is p.VAR_KEYWORD]
    if others and cls.__base__ is not object:
        del own[others[0]]
        return _parameters(cls.__base__) | own
    return own


def check_value(value: Any, annotation: Any, path: str) -> None:
    """Raise a ConfigError unless a value has the annotated type.

    Checked are plain types, unions, lists and tuples of them, ``Literal``, and ``Annotated`` with
    a description and a test, such as ``Annotated[int, 'an odd integer', lambda n: n % 2]``.
    """
    if not _fits(value, annotation):
        raise _wrong_type(value, annotation, path)


def _wrong_type(value: Any, annotation: Any, path: str) -> ConfigError:
    options = _options(annotation)
    for option in options:  # an item of a list is named by its index
        if get_origin(option) in (list, Sequence) and isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                check_value(item, get_args(option)[0], f'{path}[{i}]')
    words = [str(word) for o in options if get_origin(o) is Literal for word in get_args(o)]
    huge = f' below {_HUGE:.0e}' if isinstance(value, Real) and abs(value) >= _HUGE else ''
    text = f'{path}: {value!r} is not {_described(annotation)}{huge}{nearest(value, words)}'
    return ConfigError(text)


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _fits(value: Any, annotation: Any) -> bool:
    # A number (numpy's too, but no bool).
    if annotation in (int, float):
        real = isinstance(value, Integral if annotation is int else Real)
        return real and not isinstance(value, bool) and abs(value) < _HUGE
    if annotation in (bool, NoneType, None):
        return isinstance(value, NoneType if annotation is None else annotation)
    if annotation is str:
        return isinstance(value, (str, os.PathLike))
    # Composed annotations: of a tuple each item has its own type, of a list all have one.
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return _fits(value, inner[0]) and bool(inner[2](value))
    if kind is Literal:
        return value in [option for option in inner if type(option) is type(value)]
    if kind in (Union, UnionType):
        return any(_fits(value, option) for option in inner)
    if kind is dict or (isinstance(annotation, type) and issubclass(annotation, dict)):
        return isinstance(value, Mapping)
    if kind in (list, tuple, Sequence):
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False
        if kind is tuple and Ellipsis not in inner:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(item, inner[0]) for item in value)
    return True


def _described(annotation: Any) -> str:
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return inner[1]
    if kind is Literal:
        return 'one of ' + ', '.join(map(repr, inner))
    if kind in (Union, UnionType):
        return ' or '.join(_described(option) for option in inner)
    if kind is dict or (isinstance(annotation, type) and issubclass(annotation, dict)):
        return 'a dict'
    if kind in (list, tuple, Sequence):
        several = kind is tuple and Ellipsis not in inner
        each = ', '.join(map(_described, inner if several else inner[:1]))
        return f'a list ({"" if several else "each "}{each})'
    return _WORDS.get(annotation) or getattr(annotation, '__name__', str(annotation))
