"""Progress bars for loops and downloads in a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar('Item')


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """Iterate over the items and show a bar, which is left out if stdout is not a terminal.

    ``total`` is the number of items, if they have no length.
    """
    # In a log file a bar would be noise.
    if not sys.stdout.isatty():
        return items
    from rich import progress  # slow to import

    return progress.track(items, title, total, transient=True)


@contextmanager
def download_bar(name: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for ``start`` to ``total`` bytes, on stderr if that is a terminal.

    Gives a function that takes the number of bytes that have come.
    """
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich import console, progress

    # On stderr, because stdout may carry the output of a tool.
    columns = (
        progress.TextColumn('{task.description}'),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    stderr = console.Console(stderr=True)
    with progress.Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(name, total=total, completed=start)
        yield lambda count: bar.advance(task, count)
