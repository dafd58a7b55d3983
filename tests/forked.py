"""New processes that need not import torch, which takes seconds: forked from one that has."""

import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

from torch.multiprocessing import start_processes

from hrdet.engine import launch
from hrdet.ops import cpu

# Before the first process of this test run starts the server.  It calls nothing: a process that has
# computed gradients cannot be forked.
_MODULES = ('torch._dynamo', 'hrdet.engine.trainer', 'hrdet.evaluation', 'hrdet.models')
get_context('forkserver').set_forkserver_preload(list(_MODULES))


def start(work: Callable[..., None], args: tuple, nprocs: int = 1, **options: Any) -> Any:
    """``mp.start_processes``: ``work(index, *args)`` in each process, to the end."""
    options |= dict(start_method='forkserver')
    return start_processes(_work, (dict(os.environ), work, args), nprocs, **options)


def launched(processes: int, work: Callable[..., None], *args: Any) -> None:
    """``launch.spawn``, which tests/engine/test_distributed.py also tests as it is."""

    def forked(work, args, nprocs, join, start_method):
        return start(work, args, nprocs, join=join)

    with mock.patch.object(launch.mp, 'start_processes', forked):
        launch.spawn(processes, work, *args)


# torch and oneDNN read the capability at their first operation, hrdet when it is imported.
_EACH = """
import os, sys
import hypothesis, pytest, torch
for capability in sys.argv[1:]:
    if os.fork() == 0:
        os.environ['HRDET_CPU_CAPABILITY'] = capability
        break
    assert os.wait()[1] == 0, capability
else:
    sys.exit()
"""


def with_each_capability(program: str) -> dict[str, str]:
    """The line that ``program`` prints with each capability of the processor."""
    names = cpu.available()
    done = subprocess.run(
        [sys.executable, '-c', _EACH + program, *names],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(names, done.stdout.splitlines(), strict=True))


def _work(index: int, environment: dict[str, str], work: Callable[..., None], args: tuple) -> None:
    os.environ.clear()
    os.environ |= environment
    work(index, *args)
