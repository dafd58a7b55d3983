"""What a conversion reads and writes, and how it runs: several processes, all or nothing."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from hrdet.data import DataError
from hrdet.progress import track

_UNFINISHED = '.unfinished'


@dataclass(slots=True)
class Plan:
    """The steps of a conversion.

    ``steps`` are calls that travel to other processes; each writes files of its own.  ``targets``
    are the files and folders that must not exist yet.  Steps write to ``unfinished(target)``, and
    when all are done the targets get their names: there is never half a data set.
    """

    steps: list[Callable[[], None]] = field(default_factory=list)
    targets: list[Path] = field(default_factory=list)
    summary: str = ''  # what was made, in one line


def unfinished(target: Path) -> Path:
    """Where a target is while it is being written."""
    return target.with_name(target.name + _UNFINISHED)


def run(plan: Plan, title: str, processes: int) -> None:
    """Carry out a plan.

    Raises:
        DataError: a target exists, or a file cannot be read or written; nothing is left then.
    """
    # Nothing is written where something exists already.
    for target in plan.targets:
        if target.exists():
            raise DataError(
                f'{target} exists, and nothing is overwritten; remove it, or give another OUT'
            )
    _remove_unfinished(plan)  # of a run that was killed
    try:
        for target in plan.targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        _run_steps(plan.steps, title, processes)
        for target in plan.targets:
            unfinished(target).rename(target)
    except OSError as error:
        raise DataError(f'{error.filename} cannot be made: {error.strerror}') from error
    finally:
        _remove_unfinished(plan)


def write_file(path: Path, content: bytes) -> None:
    """Write a file, and the folders it is in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f'{path} cannot be written: {error.strerror}') from error


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (h, w) or (h, w, 3) BGR pixels."""
    write_file(path, cv2.imencode('.png', image)[1].tobytes())


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one name a line."""
    write_file(path, ''.join(f'{line}\n' for line in lines).encode())


def default_processes() -> int:
    """One for each core this process may use, but at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return min(cores or 1, 8)


def _run_steps(steps: list[Callable[[], None]], title: str, processes: int) -> None:
    if processes <= 1:
        for step in track(steps, title):
            step()
        return
    # A fork would inherit the locks of threads that torch and OpenCV may have started.
    pool = ProcessPoolExecutor(processes, get_context('spawn'), cv2.setNumThreads, (1,))
    try:
        futures = [pool.submit(step) for step in steps]
        for future in track(as_completed(futures), title, total=len(futures)):
            future.result()
    except BrokenProcessPool as error:
        raise DataError(
            f'{title}: a process was killed, often for want of memory; use fewer --processes'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _remove_unfinished(plan: Plan) -> None:
    for path in map(unfinished, plan.targets):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
