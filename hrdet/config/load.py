"""Load a config file: run it as Python, merge its ``_base_`` files, apply overrides."""

import ast
import importlib
import os
import re
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from hrdet import zoo
from hrdet.config.config import Config, merge
from hrdet.config.lower.dialects import foreign_key
from hrdet.config.lower.language import keys_of_language, language_of
from hrdet.config.node import read
from hrdet.config.origins import Assignments
from hrdet.registry import ConfigError, nearest

_BASE = '_base_'


def load_config(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read a config: a Python file (``_base_`` inheritance included), or a dict of the same form.

    The name of a published model (``zoo.MODELS``) stands for its config.

    A config file is a program: loading one runs it, with the modules of its ``custom_imports``.

    ``overrides`` are values by dotted path, ``{'data.imgs_per_gpu': 4}``; a number in a path counts
    in a list.

    Returns:
        The config.  ``work_dir`` is filled with ``./work_dirs/<name of the file>`` where the file
        itself leaves it out, whatever its bases say.

    Raises:
        ConfigError: a file that cannot be run, with its line; an override of something that is not
            a config key, or inside something that is not a section.  Everything else is checked by
            ``lower``.
        FileNotFoundError: no such file.
    """
    # 1. The values: from a dict, a file, or the config of a published model.
    if isinstance(source, Mapping):
        config = Config(source)
    else:
        if not Path(source).is_file():
            source, _ = zoo.resolve(source)
        if not Path(source).is_file():
            meant = zoo.similar(Path(source).stem).removesuffix('.')
            raise FileNotFoundError(f'config {str(source)!r}: there is no such file{meant}')
        config = _read(str(source), ())
        config.filename = str(source)
        # A base's folder holds the base's run.
        if not str(config.origins.get('work_dir', '')).startswith(f'{_shown(str(source))}:'):
            config.work_dir = None
    # 2. Overrides, then imports, which may be overridden too.
    for path, value in (overrides or {}).items():
        _override(config, path, value)
    if config.get('custom_imports'):
        read(_import, config.custom_imports, 'custom_imports')
    # 3. The default work folder.
    if config.get('work_dir') is None:
        name = Path(config.filename).stem if config.filename else ''
        config.work_dir = f'./work_dirs/{name}'.rstrip('/')
    return config


def _read(file: str, readers: Sequence[str]) -> Config:
    """The values of a file and its bases; ``readers`` are the files that led here."""
    shown = _shown(file)
    if not file.endswith('.py'):
        raise ConfigError(f'{shown}: a config is a Python file, whose name ends with .py')
    # 1. Parse the program, and load its base files.
    text = Path(file).read_text(encoding='utf-8')
    try:
        tree = ast.parse(_substituted(text, Path(file).absolute()), shown)
    except SyntaxError as error:
        text = (error.text or '').strip()
        raise ConfigError(f'{shown}:{error.lineno}: {error.msg}: {text}') from None
    base = _bases(tree, file, (*readers, os.path.realpath(file)))
    # 2. Run it: ``_base_`` is a variable of the program, and each assignment records its line.
    assignments = Assignments(shown)
    names = {_BASE: Config(base), '__file__': file, '__name__': Path(file).stem}
    names |= assignments.names
    try:
        exec(compile(assignments.visit(tree), shown, 'exec'), names)
    except Exception as error:
        # The innermost frame that lies in this file: the user's line, not a library's.
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == shown]
        what = f'{type(error).__name__}: {error}'
        raise ConfigError(f'{shown}:{lines[-1]}: {what}') from error
    # 3. Keys are the names that it assigned; imports, functions and loop variables are not.
    values = {
        name: value
        for name, value in names.items()
        if name in assignments.assigned
        and not name.startswith('_')
        and not isinstance(value, (ModuleType, FunctionType, BuiltinFunctionType, type))
    }
    return merge(base, assignments.with_origins(values))


def _substituted(text: str, file: Path) -> str:
    """The program with its file's name and environment variables (``{{$NAME:default}}``) filled in.

    ``{{ _base_.x }}`` becomes ``_base_.x``.
    """
    names = {
        'fileDirname': file.parent.as_posix(),
        'fileBasenameNoExtension': file.stem,
        'fileBasename': file.name,
        'fileExtname': file.suffix,
    }
    for name, value in names.items():
        text = re.sub(r'\{\{\s*' + name + r'\s*\}\}', lambda _, v=value: v, text)
    text = re.sub(r'\{\{\s*\$(\w+)(?::(.*?))?\s*\}\}', lambda match: _variable(match, file), text)
    return re.sub(r'\{\{\s*(_base_(\.\w+)+)\s*\}\}', r'\1', text)


def _variable(match: re.Match, file: Path) -> str:
    name, default = match.groups()
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigError(
            f'{_shown(str(file))}: {match[0]}: the environment variable {name} is not set; set it, '
            f'or write a default as in {{{{${name}:.}}}}'
        )
    return value


def _bases(tree: ast.Module, file: str, readers: Sequence[str]) -> Config:
    """The merged values of the ``_base_`` files; the assignment is removed from the program."""
    base = Config()
    for node in [node for node in tree.body if isinstance(node, ast.Assign)]:
        if [getattr(target, 'id', None) for target in node.targets] != [_BASE]:
            continue
        # The names must be literals: bases are loaded before the program runs.
        tree.body.remove(node)
        place = f'{_shown(file)}:{node.lineno}'
        try:
            names = ast.literal_eval(node.value)
        except ValueError:
            names = None
        names = [names] if isinstance(names, str) else names
        if not (isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)):
            raise ConfigError(f'{place}: _base_ must be the name of a file or a list of names')
        for name in names:
            other = os.path.normpath(os.path.join(os.path.dirname(file), name))
            if not os.path.isfile(other) and (known := zoo.config_named(name)):
                other = str(known)
            if not os.path.isfile(other):
                text = _shown(other) + zoo.similar(Path(name).stem).removesuffix('.')
                raise ConfigError(f'{place}: _base_ {name!r}: there is no file {text}')
            # Compare real paths, so that a symbolic link cannot hide the cycle.
            if os.path.realpath(other) in readers:
                chain = ' -> '.join(map(_shown, (*readers, other)))
                raise ConfigError(f'{place}: _base_ {name!r} includes itself: {chain}')
            found = _read(other, readers)
            # Bases in a list have no priority, so a key that two of them set is an error.
            for key in base.keys() & found.keys():
                ours, theirs = base.origins[key], found.origins[key]
                raise ConfigError(
                    f'{place}: two files of _base_ set {key!r}: {ours} and {theirs}; let one of '
                    f'them inherit from the other'
                )
            merge(base, found)
    return base


def _import(path: str, *, imports: str | Sequence[str], allow_failed_imports: bool = False) -> None:
    for name in [imports] if isinstance(imports, str) else imports:
        _import_one(name, allow_failed_imports, path)


def _import_one(name: str, may_fail: bool, path: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        message = f'{path}: {name}: {type(error).__name__}: {error}'
        if isinstance(error, ImportError):
            if not may_fail:
                raise ConfigError(message) from error
            warnings.warn(message, stacklevel=2)
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigError(f'{message} ({last.filename}:{last.lineno})') from error


def _override(config: Config, path: str, value: Any) -> None:
    key = path.partition('.')[0]
    keys = keys_of_language(config)
    if key not in keys:
        raise _not_a_key(path, keys, key in config, language_of(config))
    config.override(path, value)


def _not_a_key(path: str, keys: Sequence[str], is_variable: bool, language: str) -> ConfigError:
    if is_variable:
        return ConfigError(
            f'{path}: a variable of the config file, whose value is already where it is used; '
            f'override that place instead, such as data.train.ann_file'
        )
    first, second = path.split('.')[0], '.'.join(path.split('.')[:2])
    for place in (path, second, first):
        found = foreign_key(place, language)
        if found:
            return ConfigError(f'{path}: {found}')
    similar = nearest(first, keys)
    return ConfigError(f'{path}: there is no such key here{similar} (accepted: {", ".join(keys)})')


def _shown(file: str) -> str:
    """The name of a file for messages: relative to the current folder, if it lies below it."""
    relative = os.path.relpath(file)
    return os.path.abspath(file) if relative.startswith('..') else relative
