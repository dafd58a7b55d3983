"""Trainings of the toy that are killed or starved, in children of a process with torch."""

import errno
import functools
import json
import os
import resource
import select
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.reliability.kills import WriteCounter, compare, compare_checkpoints
from hrdet import distributed
from hrdet.engine import Hook, launch
from hrdet.run_tool import mistakes_in_one_line
from hrdet.tracking import training_log
from tests.engine import toy_run
from tests.engine.workers import SignalTo

LENGTH = 20


def train(folder: Path, hooks: tuple[Hook, ...] = (), length: int = LENGTH) -> None:
    """A run, or the rest of one: what ``tools/train.py`` does in a work folder."""
    training_log.draw_curves = lambda folder: None  # drawing takes longer than all else
    latest = folder / 'latest.pth'
    resume_from = str(latest) if latest.is_file() else None
    settings = toy_run.settings(log_interval=1)
    toy_run.trainer(folder, settings, length=length, hooks=hooks, resume_from=resume_from).run()


def fork(work: Callable[[], Any], output: Path) -> int:
    """A child that does something, as a command does it; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        with mistakes_in_one_line():
            work()
        code = 0
    except SystemExit as left:
        print(left.code)
    except BaseException as error:
        print('Traceback', repr(error))
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a child; the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def file_limit(folder: Path) -> dict:
    """A run that may write no file above 2 kB, and the rest of it without the limit."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        train(folder / 'run')

    code = ended(fork(limited, folder / 'limited'))
    again = ended(fork(functools.partial(train, folder / 'run'), folder / 'again'))
    return dict(code=code, again=again)


def no_permission(folder: Path) -> dict:
    """A run whose folder belongs to someone else."""
    folder.chmod(0o755)
    work = folder / 'run'
    work.mkdir(mode=0o555)

    def other() -> None:
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        train(work)

    return dict(code=ended(fork(other, folder / 'output')))


def lost(folder: Path) -> dict:
    """Two processes, of which the second is killed in the middle of an epoch."""
    distributed._SECONDS_TO_NOTICE = 2

    def work(rank: int) -> None:
        train(folder / 'lost', (SignalTo(rank=1, n=7, signum=signal.SIGKILL),))

    return dict(codes=two(folder, work, timeout=600))


def paused(folder: Path) -> dict:
    """Two processes, of which the second stands still until the first has given up."""
    distributed._SECONDS_TO_NOTICE = 2

    def work(rank: int) -> None:
        train(folder / 'paused', (SignalTo(rank=1, n=7, signum=signal.SIGSTOP),))

    return dict(codes=two(folder, work, timeout=15))


def two(folder: Path, work: Callable[[int], Any], timeout: int) -> list[int]:
    """Exit codes of two processes that wait ``timeout`` seconds for each other."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]

    def child(rank: int) -> None:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        dist.init_process_group = functools.partial(
            dist.init_process_group, timeout=timedelta(seconds=timeout)
        )
        torch.set_num_threads(1)
        launch.start('pytorch', force_cpu=True)
        work(rank)
        launch.stop()

    children = [fork(functools.partial(child, rank), folder / f'rank_{rank}') for rank in (0, 1)]
    codes = [ended(children[0])]
    os.kill(children[1], signal.SIGCONT)  # in case it is paused
    return [*codes, ended(children[1])]


def patience(folder: Path) -> dict:
    """Rank 0 works alone for twice as long as the processes wait for each other."""
    distributed._PATIENCE = 0.5

    def alone() -> str:
        select.select([], [], [], 6)
        return 'done'

    def work(rank: int) -> None:
        assert distributed.on_rank_0(alone) == 'done'

    return dict(codes=two(folder, work, timeout=3))


def every_write(folder: Path) -> dict:
    """Runs killed before each of their writes in turn, or to which that write fails; resumed."""
    outcomes = Counter()

    def counted(work: Path, number: int = 0, error: OSError | None = None) -> None:
        writes = WriteCounter(work, number, error)
        sys.addaudithook(writes)
        train(work, length=4)
        (folder / 'count').write_text(str(writes.count))

    def run(work: Callable[..., None], *arguments: Any) -> int:
        return ended(fork(functools.partial(work, *arguments), folder / 'output'))

    whole = folder / 'whole'
    assert run(counted, whole) == 0
    for number in range(1, int((folder / 'count').read_text()) + 1):
        for kind, error in dict(killed=None, full=OSError(errno.ENOSPC, 'disk is full')).items():
            work = folder / f'{kind}_{number}'
            outcomes[f'{kind} {run(counted, work, number, error)} {run(train, work, (), 4)}'] += 1
            (compare if error is None else compare_checkpoints)(whole, work)
    return outcomes


def elastic(folder: Path) -> None:
    """A process of torchrun; the second is killed in the first attempt."""
    launch.start('pytorch', force_cpu=True)
    hooks = (SignalTo(rank=1, n=7, signum=signal.SIGKILL),)
    train(folder / 'run', hooks if os.environ['TORCHELASTIC_RESTART_COUNT'] == '0' else ())
    launch.stop()


def outcome(index: int, name: str, folder: Path) -> None:
    """Call a function of this file, and leave what it returns in ``outcome.json``."""
    (folder / 'outcome.json').write_text(json.dumps(globals()[name](folder)))


if __name__ == '__main__':  # of torchrun
    elastic(Path(sys.argv[1]))
