"""A progress bar for loops in a terminal."""

import sys
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar('Item')


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """Iterate over the items and show a bar, which is left out if stdout is not a terminal.

    ``total`` is the number of items, if they have no length.
    """
    if not sys.stdout.isatty():
        return items
    from rich import progress  # slow to import

    return progress.track(items, title, total, transient=True)
