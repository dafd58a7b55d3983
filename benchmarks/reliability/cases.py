"""Run cases that may crash or hang: each in a process of its own, which imports nothing anew.

The calling process has torch and hrdet in memory and forks one child for each case, so that a crash
or a hang belongs to a case, and a case takes what it computes and no more.
"""

import faulthandler
import json
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path

import torch
import torch._dynamo  # which the first optimizer imports: slowly

from hrdet.run_tool import one_line
from hrdet.tracking import training_log

CPU_SECONDS = 120  # a case that computes longer hangs
IDLE_SECONDS = 180  # .. and one that computes nothing for so long, however busy the machine is
MEMORY = 24 << 30  # address space of one case: more is asked for by mistake only

ACCEPTED = 'accepted'  # used to the end, and what was read is what the file says
REFUSED = 'refused'  # before the first iteration, in a line that names the file
STOPPED = 'stopped'  # a training that went wrong ended with a line: not finite
LATE = 'refused late'  # only after iterations, which are lost
UNCLEAR = 'unclear'  # a refusal that does not name the file
WRONG = 'silently wrong'
TRACEBACK = 'traceback'
CRASH = 'crash'
HANG = 'hang'
GOOD = (ACCEPTED, REFUSED, STOPPED)
KINDS = (*GOOD, LATE, UNCLEAR, WRONG, TRACEBACK, CRASH, HANG)


class Wrong(Exception):
    """What was accepted is not what the file says; the text says what differs."""


class Late(Exception):
    """A refusal that came after iterations."""


class Stopped(Exception):
    """A run that ended by itself because it went wrong."""


@dataclass(frozen=True)
class Case:
    """One input.

    Args:
        name: of the input, unique in a campaign.
        work: makes the input in an empty folder and uses it as the tools do.
        places: a refusal must contain one of these: the name of a file, the path of a key.
    """

    name: str
    work: Callable[[Path], None]
    places: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    name: str
    kind: str
    text: str = ''

    def __str__(self) -> str:
        return f'{self.kind:14} {self.name}: {self.text}'


def run_cases(cases: Sequence[Case], jobs: int = 2) -> Iterator[Outcome]:
    """Run all cases, ``jobs`` at a time; their outcomes as they come."""
    fork = multiprocessing.get_context('fork')
    waiting, running = list(reversed(cases)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            case = waiting.pop()
            folder = Path(tempfile.mkdtemp(prefix='case_'))
            child = fork.Process(target=_child, args=(case, folder))
            child.start()
            running[child.sentinel] = child, case, folder, Progress()
        ended = wait(list(running), timeout=1)
        hung = [key for key, (child, *_, work) in running.items() if work.stalled(child.pid)]
        for key in {*ended, *hung}:
            child, case, folder, _ = running.pop(key)
            # The child leads its own session: what it started ends with it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.join()
            yield _outcome(case, folder, child.exitcode, hung=key not in ended)
            shutil.rmtree(folder, ignore_errors=True)


class Progress:
    """Whether the processes of a session compute."""

    def __init__(self) -> None:
        self.ticks, self.since = -1, time.monotonic()

    def stalled(self, session: int) -> bool:
        """Whether nothing was computed for ``IDLE_SECONDS``."""
        if time.monotonic() - self.since < IDLE_SECONDS / 10:
            return False
        ticks = _ticks(session)
        if ticks != self.ticks:
            self.ticks, self.since = ticks, time.monotonic()
        return time.monotonic() - self.since > IDLE_SECONDS


def _ticks(session: int) -> int:
    """Clock ticks that the processes of a session have computed, those that ended too."""
    total = 0
    for stat in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):  # it has just ended
            # After the name in brackets: state, parent, group, session, ..., four times.
            fields = stat.read_text().rpartition(')')[2].split()
            if int(fields[3]) == session:
                total += sum(map(int, fields[11:15]))
    return total


def _child(case: Case, folder: Path) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()  # a crash is an outcome, which the caller reports
    output = os.open(folder / '.output', os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    logging.getLogger('hrdet').handlers.clear()
    torch.set_num_threads(1)
    # Drawings are not tried here, and take longer than the trainings.
    training_log.draw_curves = training_log.draw_start = lambda run: None
    work = folder / 'case'
    work.mkdir()
    os.chdir(work)
    outcome = judge(case, work)
    (folder / '.outcome.json').write_text(json.dumps(asdict(outcome)))
    os._exit(0)  # no clean-up of what the parent has


def judge(case: Case, folder: Path) -> Outcome:
    """Run a case in this process."""
    try:
        case.work(folder)
    except Wrong as wrong:
        return Outcome(case.name, WRONG, str(wrong))
    except Late as late:
        return Outcome(case.name, LATE, str(late))
    except Stopped as stopped:
        return Outcome(case.name, STOPPED, str(stopped))
    except SystemExit as left:
        line = str(left.code)
    except Exception as error:
        line = one_line(error)
        if line is None:
            text = ''.join(traceback.format_exception(error)[-2:])
            return Outcome(case.name, TRACEBACK, ' | '.join(text.split('\n'))[-600:])
    else:
        return Outcome(case.name, ACCEPTED)
    named = not case.places or any(place in line for place in case.places)
    return Outcome(case.name, REFUSED if named else UNCLEAR, line)


def _outcome(case: Case, folder: Path, code: int | None, hung: bool) -> Outcome:
    saved = folder / '.outcome.json'
    if saved.is_file():
        return Outcome(**json.loads(saved.read_text()))
    output = (folder / '.output').read_text(errors='replace')[-300:]
    if hung or code == -signal.SIGXCPU:
        return Outcome(case.name, HANG, f'{"idle" if hung else "busy"}; {output}')
    return Outcome(case.name, CRASH, f'exit code {code}; {output}')
