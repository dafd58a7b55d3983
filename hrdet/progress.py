"""A progress bar around a loop, for people at a terminal."""

import sys
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar('Item')


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a bar until the last of them is done; silent where output is no terminal.

    ``total`` is their number, where they have no length.
    """
    if not sys.stdout.isatty():
        return items
    from rich.progress import track as shown  # slow to import

    return shown(items, title, total, transient=True)
