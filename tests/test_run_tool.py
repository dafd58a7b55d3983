"""What the user reads when a tool fails: one line with the place and the cure."""

import errno
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace

import pytest
import torch
from torch.utils.data import DataLoader

from hrdet import run_tool
from hrdet.data import DataError
from hrdet.run_tool import one_line

LINES = [
    (OSError(errno.ENOSPC, 'No space left on device', 'run/a.pth'), 'run/a.pth: No space.*; free'),
    (PermissionError(errno.EACCES, 'Permission denied', 'run'), 'run: Permission denied; use a'),
    (OSError(errno.EROFS, 'Read-only file system', 'run'), 'run: Read-only.*another --work-dir'),
    (FileNotFoundError("config 'a.py': there is no such file"), "config 'a.py': there is no"),
    (RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '), 'workers_per_gpu'),
    (
        RuntimeError('Original Traceback:\nRuntimeError: unable to allocate shared memory(shm)'),
        '--shm-size',
    ),
    (RuntimeError('Too many open files. Communication with\nthe workers'), 'ulimit -n 8192'),
    (RuntimeError('[gloo] Connection closed by peer [127.0.0.1]'), 'another process of this run'),
    (
        RuntimeError('[gloo/pair.cc:537] Read error [::1]:7: Connection reset by peer. GLHF!'),
        'another process of this run',
    ),
    (torch.distributed.DistBackendError('NCCL error'), 'another process of this run has ended'),
]


@pytest.mark.parametrize(('error', 'line'), LINES, ids=lambda value: type(value).__name__)
def test_failures_of_the_machine_are_one_line(error, line):
    message = one_line(error)
    assert '\n' not in message
    assert re.search(line, message), message


@pytest.mark.parametrize('error', [ValueError('x'), RuntimeError('shapes differ'), KeyError('x')])
def test_faults_of_the_program_keep_their_traceback(error):
    assert one_line(error) is None


class Broken:
    """A data set with a file that cannot be read."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise DataError('a.jpg: truncated')


def test_an_error_of_a_loader_worker_is_one_line():
    with pytest.raises(DataError) as error:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert one_line(error.value) == 'a.jpg: truncated'


def test_ctrl_c_before_training_leaves_without_a_traceback():
    def work(args, launcher, force_cpu):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit) as left:
        run_tool.run(work, Namespace(launcher='none', gpus=0, local_rank=None))
    assert left.value.code == 130


def test_the_engine_imports_no_mmengine():
    code = (
        'import sys, hrdet.engine; light = "torch" not in sys.modules\n'
        'import hrdet.engine.build, hrdet.run_tool\n'
        'print(light, "mmengine" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split() == ['True', 'False'], done.stderr
