"""Count lines of Python files: on a path of executed functions, of comments, of long functions."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def lines_on_path(file: Path, executed: set[str]) -> tuple[int, int]:
    """(raw, code) lines of a file that a reader of the path reads.

    ``executed`` are qualified names; none at all: the whole file.  Functions and classes that
    nothing ran of are left out, and so are imports and constants that nothing counted reads, each
    with the comments above it.
    """
    text = file.read_text(encoding='utf-8')
    lines = text.splitlines()
    dropped: set[int] = set()
    for node in _unread(ast.parse(text).body, {name.split('.')[0] for name in executed}):
        first = _first_line(node)
        while first > 1 and lines[first - 2].lstrip()[:1] in ('', '#'):
            first -= 1
        dropped |= set(range(first, node.end_lineno + 1))
    return len(lines) - len(dropped), len(code_lines(text) - dropped)


def _unread(statements: list[ast.stmt], executed: set[str]) -> list[ast.stmt]:
    """Of a module: statements that define neither what ran nor what it reads."""
    if not executed:
        return []
    waiting = [n for n in statements if isinstance(n, _SCOPES) and n.name in executed]
    constants = [n for n in statements if not isinstance(n, _SCOPES) and _bound_names(n)]
    unread = [n for n in statements if isinstance(n, _SCOPES) and n.name not in executed]
    while waiting:  # a constant may read another one
        read = {n.id for node in waiting for n in ast.walk(node) if isinstance(n, ast.Name)}
        waiting = [node for node in constants if _bound_names(node) & read]
        constants = [node for node in constants if node not in waiting]
    return unread + constants


def _bound_names(statement: ast.stmt) -> set[str]:
    """Names that an import, an assignment, or a block of them defines."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition('.')[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def code_lines(text: str) -> set[int]:
    """Numbers of the lines that are not blank, comment or docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT and token.type != tokenize.ENDMARKER:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, *_SCOPES)) and ast.get_docstring(node, clean=False):
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, docstring.end_lineno + 1))
    return lines


def python_files(root: Path, *places: str) -> Iterator[Path]:
    for place in places:
        path = root / place
        yield from sorted(path.rglob('*.py')) if path.is_dir() else [path]


def lines_of_files(root: Path, *places: str) -> dict[str, int]:
    """Raw lines of every Python file in these folders."""
    return {
        str(path.relative_to(root)): len(path.read_text(encoding='utf-8').splitlines())
        for path in python_files(root, *places)
    }


def longest_functions(root: Path, *places: str) -> list[tuple[str, int]]:
    """('file:function', lines), the longest first."""
    found = []
    for path in python_files(root, *places):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, _SCOPES[:2]):
                lines = node.end_lineno - node.lineno + 1
                found.append((f'{path.relative_to(root)}:{node.name}', lines))
    return sorted(found, key=lambda item: -item[1])


def comment_share(root: Path, *places: str) -> float:
    """Comments on lines of their own inside functions, in percent of the functions' lines."""
    comments = total = 0
    for path in python_files(root, *places):
        text = path.read_text(encoding='utf-8')
        inside: set[int] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, _SCOPES[:2]):
                inside |= set(range(node.lineno, node.end_lineno + 1))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments += sum(
            token.type == tokenize.COMMENT
            and token.start[0] in inside
            and token.line.lstrip().startswith('#')
            for token in tokens
        )
        total += len(inside)
    return round(100 * comments / total, 2)


def import_cycles(package: str) -> list[set[str]]:
    """Sets of modules that import each other in a circle."""
    import grimp  # comes with import-linter

    graph = grimp.build_graph(package, exclude_type_checking_imports=True)
    below = {module: graph.find_upstream_modules(module) for module in graph.modules}
    circular = {module for module, imported in below.items() if _returns(graph, module, below)}
    cycles: list[set[str]] = []
    for module in sorted(circular):
        if not any(module in cycle for cycle in cycles):
            together = {other for other in circular if other in below[module]}
            cycles.append({module} | {o for o in together if module in below[o]})
    return cycles


def _returns(graph, module: str, below: dict[str, set[str]]) -> bool:
    """Whether a module is imported, over others, by what it imports."""
    direct = graph.find_modules_directly_imported_by(module)
    return any(module in below[other] for other in direct)


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, 'decorator_list', ())
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
