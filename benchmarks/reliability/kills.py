"""72 times kill -9: at random moments, at the boundaries of writes, of workers, of ranks.

A case is a training that is killed six times, each time resumed by the same command, and then runs
to its end.  Its last checkpoint, its log and its best checkpoint must equal those of a run that
was left alone.
"""

import json
import os
import random
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.reliability import materials
from benchmarks.reliability.cases import Case, Wrong
from benchmarks.reliability.materials import Draw
from hrdet.checkpoints import read_checkpoint
from hrdet.config import load_config
from hrdet.engine import launch
from hrdet.engine.build import TrainOptions, build_trainer
from hrdet.run_tool import mistakes_in_one_line

COUNT = 72
KILLS = 6  # of one run
_WAYS = ('write', 'moment', 'write', 'moment', 'worker', 'rank')
_EPOCHS = {
    'detection': {'total_epochs': 3},
    'fcos': {'total_epochs': 3},
    'segmentation': {'runner.max_iters': 6},
    'classification': {'train_cfg.max_epochs': 3},
}
_WORKERS = {
    'detection': 'data.workers_per_gpu',
    'fcos': 'data.workers_per_gpu',
    'segmentation': 'data.workers_per_gpu',
    'classification': 'train_dataloader.num_workers',
}


def cases(base: Path, seed: int, count: int = COUNT) -> Iterator[Case]:
    """The campaign: a twelfth of it are runs."""
    for task in materials.TASKS:
        materials.config_file(base, task)
    for number in range(max(1, count // KILLS)):
        way = _WAYS[number % len(_WAYS)]
        task = materials.TASKS[number % len(materials.TASKS)]
        draw = Draw(seed, 'kills', number)
        yield Case(f'{task} {number}: {KILLS} kills by {way}', partial(_run, base, task, way, draw))


def _run(base: Path, task: str, way: str, draw: Draw, folder: Path) -> None:
    ranks = 2 if way == 'rank' else 1
    train = partial(_train, base, task, workers=1 if way == 'worker' else 0)
    # 1. The uninterrupted run: how much it computes, and how often it writes.
    seconds = _finish(_start(train, folder / 'whole', ranks, count_writes=True)) / ranks
    count = int((folder / 'whole.writes').read_text())
    # 2. The same run, killed six times.
    for _ in range(KILLS):
        moment = draw.uniform(0.2, 0.9) * seconds
        at_write = draw.randrange(1, count) if way == 'write' else 0
        children = _start(train, folder / 'parts', ranks, at_write)
        if way != 'write':
            _wait(children, moment)
            _kill(children, way, draw)
        _finish(children)
        _check_last_words(folder, way)
    # 3. To the end, and compared.
    _finish(_start(train, folder / 'parts', ranks))
    compare(folder / 'whole', folder / 'parts')


def _train(base: Path, task: str, work_dir: Path, workers: int) -> int:
    config = load_config(base / f'{task}.py', _EPOCHS[task] | {_WORKERS[task]: workers})
    launcher = 'pytorch' if 'WORLD_SIZE' in os.environ else 'none'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        options = TrainOptions(work_dir=str(work_dir), seed=0)
        code = build_trainer(config, options, launcher, force_cpu=True).run()
    launch.stop()
    return code


def _start(
    train: Callable, work_dir: Path, ranks: int, at_write: int = 0, count_writes: bool = False
) -> list[int]:
    """Fork the processes of a run; ``at_write`` kills the first one before its n-th write."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child:
            children.append(child)
            continue
        try:
            output = os.open(f'{work_dir}.output', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if ranks > 1:
                os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks))
                os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
            counter = WriteCounter(work_dir, at_write)
            sys.addaudithook(counter)
            code = 1
            with mistakes_in_one_line():
                code = train(work_dir=work_dir)
            if count_writes and rank == 0:
                counter.folder = None
                Path(f'{work_dir}.writes').write_text(str(counter.count))
        except SystemExit as left:
            if isinstance(left.code, str):
                print(left.code, flush=True)
            code = left.code if isinstance(left.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 70
        finally:
            sys.stdout.flush()
            os._exit(code)
    return children


class WriteCounter:
    """An audit hook: counts what changes the work folder, and kills its process before the n-th.

    The boundaries are those of files: one is opened to write, renamed, linked, removed.  With an
    ``error`` the n-th change fails instead.
    """

    def __init__(self, folder: Path, deadly: int, error: OSError | None = None) -> None:
        self.folder: str | None = str(folder)
        self.deadly, self.error, self.count = deadly, error, 0
        self.process = os.getpid()

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.folder is None or os.getpid() != self.process:
            return
        if event == 'open':
            writes = isinstance(arguments[1], str) and set(arguments[1]) & set('wax+')
        else:
            writes = event in ('os.rename', 'os.link', 'os.remove', 'os.truncate', 'os.mkdir')
        if writes and str(arguments[0]).startswith(self.folder):
            self.count += 1
            if self.count == self.deadly and self.error is not None:
                raise self.error
            if self.count == self.deadly:
                os.kill(self.process, signal.SIGKILL)


def _wait(children: Sequence[int], seconds: float) -> None:
    """Wait until the first process has computed for so long: however busy the machine is."""
    while not any(_has_ended(child) for child in children):
        fields = Path(f'/proc/{children[0]}/stat').read_text().rpartition(')')[2].split()
        if sum(map(int, fields[11:13])) > seconds * os.sysconf('SC_CLK_TCK'):
            return
        time.sleep(0.01)


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(children: Sequence[int], way: str, draw: random.Random) -> None:
    victim = draw.choice(children)
    if way == 'worker':
        workers = _children_of(victim)
        victim = draw.choice(workers) if workers else victim
    os.kill(victim, signal.SIGKILL)


def _children_of(process: int) -> list[int]:
    try:
        return [
            int(pid) for pid in Path(f'/proc/{process}/task/{process}/children').read_text().split()
        ]
    except OSError:
        return []


def _finish(children: Sequence[int]) -> float:
    """Wait for all processes, hanging ones too; the seconds that they computed."""
    usages = [os.wait4(child, 0)[2] for child in children]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _check_last_words(folder: Path, way: str) -> None:
    output = (folder / 'parts.output').read_text(errors='replace')
    for sign in ('Traceback', 'GLHF', 'what():'):
        if sign in output:
            raise Wrong(f'last words ({way}): {output[-400:]}')


def compare(whole: Path, parts: Path) -> None:
    """Raise Wrong unless an interrupted run left what the uninterrupted one did."""
    compare_checkpoints(whole, parts)
    # Every loss and every evaluation; those of iterations that were repeated count once.
    ours, theirs = (_log(folder / 'log.jsonl') for folder in (parts, whole))
    lost = [step for step in theirs if step not in ours]
    if lost:
        raise Wrong(f'lost lines of the log: {lost}')
    for step, line in theirs.items():
        if ours[step] != line:
            raise Wrong(f'{step}: {ours[step]}, not {line}')


def compare_checkpoints(whole: Path, parts: Path) -> None:
    """Raise Wrong unless all checkpoints are there, bit for bit, and no temporary file."""
    for name in sorted(path.name for path in whole.glob('*.pth')):
        if not (parts / name).is_file():
            raise Wrong(f'{name} is missing')
        ours, theirs = (read_checkpoint(folder / name) for folder in (parts, whole))
        for key in ('state_dict', 'optimizer', 'schedule'):
            if not _same(ours.get(key), theirs.get(key)):
                raise Wrong(f'{name}: {key} differs')
        if ours['meta'].get('metrics') != theirs['meta'].get('metrics'):
            raise Wrong(f'{name}: metrics differ')
    left = [path.name for path in parts.iterdir() if path.name.endswith('.tmp')]
    if left:
        raise Wrong(f'left behind: {left}')


def _log(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    timed = ('time', 'data_time', 'eta', 'memory', 'seed', 'epoch')
    return {
        (line['mode'], line['step']): {k: v for k, v in line.items() if k not in timed}
        for line in lines
        if line['mode'] != 'start'
    }


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other
