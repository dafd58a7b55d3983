"""Trace each value of a config file to the line that wrote it."""

import ast
from collections.abc import Mapping
from typing import Any

from hrdet.config.config import Config

_NOTE = '_hrdet_note_'
# The line that writes each item of a dict or list, and the lines inside that item.
Lines = dict[Any, tuple[int, 'Lines']]


class Assignments(ast.NodeTransformer):
    """Records the assignments of a config file in the order in which they run.

    ``visit`` inserts a recording call after each assignment, because only one branch of an ``if``
    runs.  The program must then be executed with ``names`` in its globals.  ``assigned`` are the
    names that it assigned, without imports, loop variables and targets of ``with``.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.names: dict[str, Any] = {_NOTE: self._note}
        self.assigned: set[str] = set()
        self._statements: list[Any] = []
        self._lines: dict[str, tuple[int, Lines]] = {}

    def visit_Assign(self, node: Any) -> Any:
        self._statements.append(node)
        number = ast.Constant(len(self._statements) - 1)
        call = ast.Expr(ast.Call(ast.Name(_NOTE, ast.Load()), [number], []))
        call = ast.fix_missing_locations(ast.copy_location(call, node))
        return node if node.value is None else [node, call]

    visit_AugAssign = visit_AnnAssign = visit_Assign

    def visit_FunctionDef(self, node: Any) -> Any:
        return node  # assignments inside are not the file's

    visit_ClassDef = visit_AsyncFunctionDef = visit_FunctionDef

    def _note(self, number: int) -> None:
        statement = self._statements[number]
        known = {name: lines for name, (_, lines) in self._lines.items()}
        for target in getattr(statement, 'targets', None) or [statement.target]:
            stored = [n for n in ast.walk(target) if isinstance(n, ast.Name)]
            self.assigned |= {n.id for n in stored if isinstance(n.ctx, ast.Store)}
            lines = _lines(statement.value, known)
            # a, b = ...: each name was written here; what is inside it is not followed.
            if isinstance(target, (ast.Tuple, ast.List)):
                self._lines |= {e.id: (e.lineno, {}) for e in target.elts if hasattr(e, 'id')}
                continue
            name, keys = _place(target)
            for key in reversed(keys):  # a['b'] = value
                lines = {key: (statement.lineno, lines)}
            # += adds to a list or text, whose parts then have new places; |= merges dicts.
            if isinstance(statement, ast.AugAssign) and not isinstance(statement.op, ast.BitOr):
                lines = {}
            if keys or isinstance(statement, ast.AugAssign):
                lines = _merged(known.get(name, {}), lines)
            first = self._lines[name][0] if keys and name in self._lines else statement.lineno
            self._lines[name] = (first, lines)

    def with_origins(self, values: Mapping[str, Any]) -> Config:
        """The values that the program has left, as a Config that knows where each was written."""
        return self._located(values, self._lines, None)

    def _located(self, value: Any, lines: Lines, origin: str | None) -> Any:
        if isinstance(value, Mapping):
            section = Config()
            for key, item in value.items():
                # Written by this file; or by a base, where the value is a part of ``_base_``.
                inherited = value.origins.get(key) if isinstance(value, Config) else None
                line, inner = lines.get(key, (None, {}))
                here = f'{self.file}:{line}' if line else inherited or origin
                section.set(key, self._located(item, inner, here), here)
            return section
        if type(value) in (list, tuple):
            inner = [lines.get(i, (None, {}))[1] for i in range(len(value))]
            return type(value)(self._located(v, n, origin) for v, n in zip(value, inner))
        return value


def _place(target: ast.expr) -> tuple[str, list[Any]]:
    """``a['b'].c`` as ``('a', ['b', 'c'])``; keys after a computed one are left out."""
    keys: list[Any] = []
    while not isinstance(target, ast.Name):
        if isinstance(target, ast.Attribute):
            keys.insert(0, target.attr)
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            keys.insert(0, target.slice.value)
        else:
            keys = []
        target = getattr(target, 'value', None) or ast.Name('')
    return target.id, keys


def _lines(node: Any, names: Mapping[str, Lines]) -> Lines:
    """The lines that write the items of an expression; {} where it is not followed."""
    # 1. A variable, and the union of two dicts.
    if isinstance(node, ast.Name):
        return names.get(node.id, {})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _lines(node.left, names) | _lines(node.right, names)
    # 2. Lists by index; an unpacked item would shift those after it.
    if isinstance(node, (ast.List, ast.Tuple)) and not any(
        isinstance(item, ast.Starred) for item in node.elts
    ):
        return {i: (item.lineno, _lines(item, names)) for i, item in enumerate(node.elts)}
    # 3. Dicts, as {...} or dict(...), with what is unpacked into them.
    found: Lines = {}
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if key is None:  # **value
                found |= _lines(value, names)
            elif isinstance(key, ast.Constant):
                found[key.value] = (key.lineno, _lines(value, names))
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict':
        for value in node.args:
            found |= _lines(value, names)
        for word in node.keywords:
            lines = _lines(word.value, names)
            found |= {word.arg: (word.lineno, lines)} if word.arg else lines
    return found


def _merged(old: Lines, new: Lines) -> Lines:
    result = dict(old)
    for key, (line, inner) in new.items():
        result[key] = (line, _merged(old[key][1], inner) if key in old else inner)
    return result
