"""Run the cases of a benchmark: compare results, time the sides in turn, compute statistics.

A subject (``benchmarks/<name>.py``) has a function ``cases(options)``.  A case is one task with
several implementations ("sides").  The first side is hrdet; the results of the others are compared
with its result before anything is timed.
"""

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.worker import ROOT, Worker

_SHORTEST = 0.2  # seconds of a sample; quicker runs are repeated within it
_PEAKS = 2  # rounds of peak memory, which hardly varies
_MODULES = {
    'mmdetection': 'mmdet',
    'mmsegmentation': 'mmseg',
}  # of peers whose module has another name
Arrays = dict[str, np.ndarray]


class DisagreementError(AssertionError):
    """Two sides return different results."""


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    folder: Path  # for the files that cases make
    peer_python: str | None = None
    peer_configs: str | None = None
    device: str = 'cpu'
    threads: int = 1
    rounds: int = 7
    tiny: bool = False
    cpu_time: bool = False


@dataclass(frozen=True)
class Side:
    """One implementation: ``module:function`` in hrdet's environment or in the peer's.

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
        measures: 'time' ('cpu' time where the options say so) and 'peak' memory of a run; or
            'start', the time of a process up to its first result.  Empty: the results are
            compared only.
        files: makes what the work needs; returns more arguments for hrdet's sides and for peers'.
        check_arguments: replace the arguments of all sides while results are compared.
    """

    name: str
    sides: Sequence[Side]
    measures: Sequence[str] = ('time',)
    files: Callable[[], tuple[dict, dict]] = lambda: ({}, {})
    check_arguments: dict[str, Any] = field(default_factory=dict)


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
    """Ratio theirs / ours of the two samples of each round, which are taken one after the other."""
    return spread([b / a for a, b in zip(ours, theirs, strict=True)])


def alternate(sides: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Samples of each side: all of them once a round, in reversed order every other round."""
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
    sides = _sides(case, options)
    measures = case.measures
    if options.cpu_time:
        measures = ['cpu' if kind == 'time' else kind for kind in measures]
    pairs = [(side, ROOT) for side in sides]
    if case.check_arguments or 'start' in case.measures:
        notes = _compare(case, sides, options)
        load = os.getloadavg()[0]
        samples = measure(pairs, measures, options)
    else:
        with _workers(pairs, options) as workers:
            notes = _notes(case, sides, workers)
            if options.device != 'cpu':  # recorded graphs keep the arithmetic of the comparison
                _prepare(workers, sides)
            load = os.getloadavg()[0]
            samples = _sample(workers, measures, options)
    return [
        row
        for kind in samples
        for row in _rows(case, options, kind, sides, samples[kind], notes, load)
    ]


def compare(case: Case, options: Options) -> dict[str, str]:
    """Text about the agreement of each side's result with hrdet's; raises the errors of ``run``."""
    return _compare(case, _sides(case, options), options)


def has_peer(options: Options, name: str) -> bool:
    """Whether there is a peers' environment with the package of this one."""
    return bool(options.peer_python) and _installed(options.peer_python, _MODULES.get(name, name))


@functools.cache
def _installed(python: str, module: str) -> bool:
    code = f'import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)'
    installed = subprocess.run([python, '-c', code]).returncode == 0
    if not installed:
        print(f'{python} has no {module}: that peer is skipped', file=sys.stderr)
    return installed


def _sides(case: Case, options: Options) -> list[Side]:
    """Those that can be measured here, with all their arguments."""
    more = case.files()
    return [
        replace(side, arguments=more[side.peer] | side.arguments)
        for side in case.sides
        if not side.peer or has_peer(options, side.name)
    ]


def measure(
    sides: Sequence[tuple[Side, Path]], measures: Sequence[str], options: Options
) -> dict[str, list[list[float]]]:
    """Samples of each side by measure; beside each side is the folder that hrdet comes from."""
    if 'start' in measures:
        starts = [lambda s=side: _start(*s, options) for side in sides]
        return {'start': alternate(starts, options.rounds)}
    with _workers(sides, options) as workers:
        return _sample(workers, measures, options)


@contextlib.contextmanager
def _workers(sides: Sequence[tuple[Side, Path]], options: Options) -> Iterator[list[Worker]]:
    """One prepared worker for each side."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_worker(*side, options)) for side in sides]
        _prepare(workers, [side for side, _ in sides])
        yield workers


def _prepare(workers: Sequence[Worker], sides: Sequence[Side]) -> None:
    for worker, side in zip(workers, sides):
        worker.ask('prepare', function=side.function, arguments=side.arguments)
        worker.seconds = 0.0


def _sample(
    workers: Sequence[Worker], measures: Sequence[str], options: Options
) -> dict[str, list[list[float]]]:
    samples = {}
    for kind in measures:
        rounds = min(options.rounds, _PEAKS) if kind == 'peak' else options.rounds
        samples[kind] = alternate([_sampler(worker, kind) for worker in workers], rounds)
    return samples


def _compare(case: Case, sides: Sequence[Side], options: Options) -> dict[str, str]:
    """``_notes`` of workers that last no longer, with the arguments for the comparison."""
    checked = [replace(side, arguments=side.arguments | case.check_arguments) for side in sides]
    with _workers([(side, ROOT) for side in checked], options) as workers:
        return _notes(case, sides, workers)


def _notes(case: Case, sides: Sequence[Side], workers: Sequence[Worker]) -> dict[str, str]:
    """Text about the agreement of each side with the first, for sides that are compared."""
    pairs = [(side, worker) for side, worker in zip(sides, workers) if side.same]
    first = workers[0].arrays() if pairs else {}
    notes = {}
    for side, worker in pairs:
        notes[side.name] = _agreement(f'{case.name}, {side.name}', side, first, worker.arrays())
    return notes


def _agreement(name: str, side: Side, first: Arrays, arrays: Arrays) -> str:
    try:
        return side.same(first, arrays)
    except DisagreementError as error:
        raise DisagreementError(f'{name}: {error}') from None


def _rows(
    case: Case,
    options: Options,
    kind: str,
    sides: Sequence[Side],
    samples: list[list[float]],
    notes: dict[str, str],
    load: float,
) -> list[Row]:
    def row(i: int, j: int | None) -> Row:
        return Row(
            case.name,
            options.device,
            kind,
            sides[i].name,
            None if j is None else sides[j].name,
            spread(samples[i]),
            None if j is None else spread(samples[j]),
            None if j is None else ratio(samples[i], samples[j]),
            agreement(i, j),
            load,
        )

    def agreement(*pair: int | None) -> str:
        names = [sides[k].name for k in pair if k is not None and kind != 'peak']
        return '; '.join(f'{name}: {notes[name]}' for name in names if name in notes)

    ours = [i for i, side in enumerate(sides) if not side.peer]
    peers = [j for j, side in enumerate(sides) if side.peer]
    # Without a peer, hrdet's variants are compared with hrdet's default.
    return [row(i, j) for i in ours for j in peers or [0 if i else None]]


def _worker(side: Side, source: Path, options: Options) -> Worker:
    return Worker(options.peer_python if side.peer else sys.executable, options.threads, source)


def _start(side: Side, source: Path, options: Options) -> float:
    """Seconds from the start of the process until the first result is there."""
    begin = time.perf_counter()
    with _worker(side, source, options) as worker:
        worker.ask('prepare', function=side.function, arguments=side.arguments)
        worker.ask('time', count=1)
        return time.perf_counter() - begin


def _sampler(worker: Worker, kind: str) -> Callable[[], float]:
    if kind == 'peak':
        return lambda: worker.ask('memory')
    cpu = kind == 'cpu'
    once = worker.seconds or worker.ask('time', count=1)  # a comparison has warmed up, too
    if once < 10 * _SHORTEST:
        once = worker.ask('time', count=1)
    count = max(1, min(1000, round(_SHORTEST / once)))
    return lambda: worker.ask('time', count=count, cpu=cpu)
