"""Timing in turn, statistics, and the table.

A subject (``benchmarks/<name>.py``) has a function ``cases(options)``.  A case is one piece of work
that several sides do; the first side is hrdet, and every other one's result is compared with it
before anything is timed.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.worker import Worker

BEGIN, END = '<!-- benchmarks: begin -->', '<!-- benchmarks: end -->'
_SHORTEST = 0.2  # seconds of a sample; quicker runs are repeated within it
Arrays = dict[str, np.ndarray]
_PACKAGES = (
    'torch',
    'torchvision',
    'onedl-mmdetection',
    'onedl-mmcv',
    'mmdet',
    'mmcv',
    'pycocotools',
    'hotcoco',
    'numpy',
    'opencv-python-headless',
)


class DisagreementError(AssertionError):
    """Two sides do not return the same thing."""


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    folder: Path  # for the files that cases make
    peer_python: str | None = None
    peer_configs: str | None = None
    device: str = 'cpu'
    threads: int = 1
    rounds: int = 7
    tiny: bool = False


@dataclass(frozen=True)
class Side:
    """Who does the work: ``module:function`` in hrdet's environment or in the peer's.

    ``same(arrays of the first side, arrays of this one)`` raises a DisagreementError, or returns a
    few words on how well they agree.
    """

    name: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    same: Callable[[Arrays, Arrays], str] | None = None
    peer: bool = True


@dataclass(frozen=True)
class Case:
    """One line of work.

    Args:
        measure: 'time' of a run; 'start', of a process up to its first result; 'peak' or 'added'
            memory of a run.
        files: makes what the work needs; returns more arguments for hrdet's sides and for peers'.
        check_arguments: replace those of all sides while results are compared.
        timed: False, and the results are compared only.
    """

    name: str
    sides: Sequence[Side]
    measure: str = 'time'
    files: Callable[[], tuple[dict, dict]] = lambda: ({}, {})
    check_arguments: dict[str, Any] = field(default_factory=dict)
    timed: bool = True


class Spread(NamedTuple):
    """Median and quartiles of a few samples."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One hrdet side against one peer; ``ours`` and ``theirs`` in seconds or MB."""

    case: str
    device: str
    measure: str
    side: str
    peer: str | None
    ours: Spread
    theirs: Spread | None
    ratio: Spread | None
    agreement: str
    load: float

    @property
    def key(self) -> tuple:
        return self.case, self.device, self.measure, self.side, self.peer


def spread(samples: Sequence[float]) -> Spread:
    """Median and quartiles (linear interpolation)."""
    low, median, high = np.percentile(samples, [25, 50, 75]).tolist()
    return Spread(median, low, high)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times less ours is: of the samples of each round, which are neighbours in time."""
    return spread([b / a for a, b in zip(ours, theirs, strict=True)])


def alternate(sides: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Samples of each side: all of them once a round, in an order that turns round every time."""
    samples: list[list[float]] = [[] for _ in sides]
    order = list(range(len(sides)))
    for _ in range(rounds):
        for index in order:
            samples[index].append(sides[index]())
        order.reverse()
    return samples


def run(case: Case, options: Options) -> list[Row]:
    """Compare what the sides return, measure them in turn, one row for each pair.

    Raises:
        DisagreementError: nothing was measured.
        WorkerError: a side failed.
    """
    more = case.files()
    sides = [
        replace(side, arguments=side.arguments | more[side.peer])
        for side in case.sides
        if not side.peer or options.peer_python
    ]
    notes = _compare(case, sides, options)
    if not case.timed:
        return []
    load = os.getloadavg()[0]
    if case.measure == 'start':
        samples = alternate([lambda s=s: _start(s, options) for s in sides], options.rounds)
    else:
        workers = [_worker(side, options) for side in sides]
        try:
            for worker, side in zip(workers, sides):
                worker.ask('prepare', function=side.function, arguments=side.arguments)
            samples = alternate([_sampler(w, case.measure) for w in workers], options.rounds)
        finally:
            for worker in workers:
                worker.close()
    return _rows(case, options, sides, samples, notes, load)


def _compare(case: Case, sides: Sequence[Side], options: Options) -> dict[str, str]:
    """Words on the agreement of each side with the first."""
    notes, first = {}, None
    for side in sides:
        if first is not None and side.same is None:
            continue
        with _worker(side, options) as worker:
            arguments = side.arguments | case.check_arguments
            worker.ask('prepare', function=side.function, arguments=arguments)
            arrays = worker.arrays()
        if first is None:
            first = arrays
        else:
            try:
                notes[side.name] = side.same(first, arrays)
            except DisagreementError as error:
                raise DisagreementError(f'{case.name}, {side.name}: {error}') from None
    return notes


def _rows(
    case: Case,
    options: Options,
    sides: Sequence[Side],
    samples: list[list[float]],
    notes: dict[str, str],
    load: float,
) -> list[Row]:
    def row(i: int, j: int | None) -> Row:
        return Row(
            case.name,
            options.device,
            case.measure,
            sides[i].name,
            None if j is None else sides[j].name,
            spread(samples[i]),
            None if j is None else spread(samples[j]),
            None if j is None else ratio(samples[i], samples[j]),
            ' '.join(notes.get(sides[k].name, '') for k in (i, j) if k is not None).strip(),
            load,
        )

    ours = [i for i, side in enumerate(sides) if not side.peer]
    peers = [j for j, side in enumerate(sides) if side.peer]
    return [row(i, j) for i in ours for j in peers or [None]]


def _worker(side: Side, options: Options) -> Worker:
    return Worker(options.peer_python if side.peer else sys.executable, options.threads)


def _start(side: Side, options: Options) -> float:
    """Seconds from the start of the process until the first result is there."""
    begin = time.perf_counter()
    with _worker(side, options) as worker:
        worker.ask('prepare', function=side.function, arguments=side.arguments)
        worker.ask('time', count=1)
        return time.perf_counter() - begin


def _sampler(worker: Worker, measure: str) -> Callable[[], float]:
    worker.ask('time', count=1)  # warm up
    if measure in ('peak', 'added'):
        return lambda: worker.ask('memory')[measure]
    once = worker.ask('time', count=1)
    count = max(1, min(1000, round(_SHORTEST / once)))
    return lambda: worker.ask('time', count=count)


def table(rows: Sequence[Row]) -> str:
    """Markdown, a line for each hrdet side and peer."""
    lines = [
        '| what | device | hrdet | | peer | | peer / hrdet | agreement |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        theirs = _quantity(row.theirs, row.measure) if row.theirs else ''
        times = f'**{_number(row.ratio)}**' if row.ratio else ''
        ours = _quantity(row.ours, row.measure)
        lines.append(
            f'| {row.case} | {row.device} | {row.side} | {ours} | {row.peer or "none installed"} '
            f'| {theirs} | {times} | {row.agreement} |'
        )
    return '\n'.join(lines)


def _quantity(values: Spread, measure: str) -> str:
    if measure in ('peak', 'added'):
        return f'{values.median:.0f} MB'
    unit, factor = ('s', 1) if values.median >= 1 else ('ms', 1e3)
    return f'{_number(Spread(*(factor * v for v in values)))} {unit}'


def _number(values: Spread) -> str:
    def short(value: float) -> str:
        return f'{value:#.3g}'.rstrip('.') if value < 1000 else f'{value:.0f}'

    return f'{short(values.median)} ({short(values.low)}-{short(values.high)})'


def machine(options: Options) -> str:
    """Processor, cores, threads, system, and the versions on both sides, as a Markdown list."""
    cpu = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.exists():
        names = [
            x.split(':')[1].strip() for x in info.read_text().splitlines() if 'model name' in x
        ]
        cpu = names[0] if names else cpu
    lines = [f'{cpu}, {os.cpu_count()} cores, {options.threads} thread(s), {platform.platform()}']
    sides = {'hrdet': sys.executable, 'peers': options.peer_python}
    for name, python in sides.items():
        if python:
            with Worker(python) as worker:
                found = worker.ask('about', packages=list(_PACKAGES))
            lines.append(f'{name}: ' + ', '.join(f'{k} {v}' for k, v in found.items()))
    return '\n'.join(f'- {line}' for line in lines)


def write(path: Path, rows: Sequence[Row], about: str) -> None:
    """Put rows into the page, between the markers; other rows that it has stay.

    The numbers of all rows are in a JSON file beside the page, from which its table is made.

    Raises:
        ValueError: the page lacks the markers.
    """
    page = path.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f'{path}: needs one line {BEGIN} and one line {END} around the table')
    store = path.with_suffix('.json')
    kept = json.loads(store.read_text()) if store.exists() else {'machine': {}, 'rows': []}
    known = {row.key: row for row in map(_row, kept['rows'])}
    known |= {row.key: row for row in rows}
    kept['machine'] |= {row.device: about for row in rows}
    kept['rows'] = [asdict(row) for row in known.values()]
    store.write_text(json.dumps(kept, indent=1) + '\n')
    text = '\n\n'.join(f'On {device}:\n\n{text}' for device, text in kept['machine'].items())
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    path.write_text(f'{before}{BEGIN}\n{text}\n\n{table(list(known.values()))}\n{END}{after}')


def _row(values: dict[str, Any]) -> Row:
    spreads = {name: values[name] and Spread(*values[name]) for name in ('ours', 'theirs', 'ratio')}
    return Row(**values | spreads)
