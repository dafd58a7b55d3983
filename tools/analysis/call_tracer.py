"""Trace which Python functions run, in which files and in which order."""

from __future__ import annotations

import sys
import sysconfig
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

# What a reader of detection code knows already.
_PACKAGES = '<packages>/'  # instead of the folder of installed packages
KNOWN = (
    *('torch', 'numpy', 'cv2', 'pycocotools', 'rich', 'matplotlib', 'hotcoco', 'PIL'),
    *('typing_extensions', '_distutils_hack', 'setuptools'),
)


class Trace:
    """Calls between ``start`` and ``stop`` in this thread, of files under ``root``.

    Args:
        root: the repository; files are named relative to it.
        foreign: also installed packages, except torch and the libraries of arrays and images.
        left_out: folders and files of the repository that are left out, with all that they call.

    What modules run while they are imported is left out.
    """

    def __init__(self, root: Path, foreign: bool = False, left_out: tuple[str, ...] = ()) -> None:
        self.root = f'{root}/'
        self.foreign, self.left_out = foreign, left_out
        # (function, caller or None, depth), in the order of calls; a function is (file, name)
        self.calls: list[tuple[tuple[str, str], tuple[str, str] | None, int]] = []
        self.classes: set[tuple[str, str]] = set()  # of arguments and results
        self._packages = f'{sysconfig.get_paths()["purelib"]}/'
        self._names: dict[CodeType, tuple[str, str] | None] = {}
        self._stack: list[tuple[tuple[str, str] | None, bool]] = []
        self._paused = False
        self._hidden = 0  # frames on the stack whose calls are left out

    def __enter__(self) -> Trace:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> None:
        sys.setprofile(self._event)

    def stop(self) -> None:
        sys.setprofile(None)

    def pause(self, *_: Any) -> None:
        """Leave out what follows, until ``resume``; both fit as hooks of a module."""
        self._paused = True

    def resume(self, *_: Any) -> None:
        self._paused = False

    @property
    def functions(self) -> set[tuple[str, str]]:
        """(file, qualified name) of everything that ran."""
        return {function for function, _, _ in self.calls}

    def summary(self) -> dict[str, int]:
        """The figures of a trace."""
        first: list[str] = []  # the files of functions, in the order of their first call
        seen = set()
        for function, _, _ in self.calls:
            if function not in seen:
                seen.add(function)
                first.append(function[0])
        cross = sum(caller is not None and caller[0] != f[0] for f, caller, _ in self.calls)
        return {
            'files': len(set(first)),
            'foreign': len({file for file in first if file.startswith(_PACKAGES)}),
            'functions': len(first),
            'calls': len(self.calls),
            'cross-file': cross,
            'depth': max((depth for _, _, depth in self.calls), default=0),
            'page turns': sum(a != b for a, b in pairwise(first)),
        }

    def _event(self, frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        imported = code.co_name == '<module>' and frame.f_globals.get('__name__') != '__main__'
        if event == 'call':
            function = None if self._paused or self._hidden else self._name(code)
            hides = imported or self._is_left_out(code)
            self._hidden += hides
            if function is not None:
                callers = [f for f, _ in self._stack if f is not None]
                self.calls.append((function, callers[-1] if callers else None, len(callers) + 1))
                for name in code.co_varnames[: code.co_argcount]:
                    self._note_class(frame.f_locals.get(name))
            self._stack.append((function, hides))
        elif event == 'return' and self._stack:
            function, hides = self._stack.pop()
            self._hidden -= hides
            if function is not None:
                self._note_class(result)

    def _note_class(self, value: Any) -> None:
        kind = type(value)
        if kind.__module__.startswith('hrdet.'):
            path = sys.modules[kind.__module__].__file__
            self.classes.add((path.removeprefix(self.root), kind.__qualname__))

    def _name(self, code: CodeType) -> tuple[str, str] | None:
        if code not in self._names:
            self._names[code] = self._place(code)
        return self._names[code]

    def _is_left_out(self, code: CodeType) -> bool:
        return code.co_filename.removeprefix(self.root).startswith(self.left_out)

    def _place(self, code: CodeType) -> tuple[str, str] | None:
        """The function of a code object; None for modules, comprehensions and what is known."""
        path, name = code.co_filename, getattr(code, 'co_qualname', code.co_name)
        if code.co_name.startswith('<') or self._is_left_out(code):
            return None
        name = name.replace('.<locals>', '')
        if path.startswith(self._packages):
            path = path.removeprefix(self._packages)
            known = path.split('/')[0].split('.')[0] in KNOWN
            return (f'{_PACKAGES}{path}', name) if self.foreign and not known else None
        ours = path.startswith(self.root) and '/analysis/' not in path  # not this measurement
        return (path.removeprefix(self.root), name) if ours else None
