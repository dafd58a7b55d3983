"""Run the work of a tool: its processes, one-line errors, exit codes."""

import argparse
import errno
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hrdet.checkpoints import CheckpointError
from hrdet.data import DataError, DataWarning
from hrdet.distributed import LostProcessError, lost_process
from hrdet.engine.launch import LaunchError, run_on_gpus, stop
from hrdet.engine.work_dir import WorkDirError
from hrdet.ops.library import MissingOperatorsError
from hrdet.registry import ConfigError
from hrdet.tracking import NonFiniteLoss, OutOfMemory

_MISTAKES = (
    ConfigError,
    DataError,
    CheckpointError,
    LaunchError,
    LostProcessError,
    MissingOperatorsError,
    NonFiniteLoss,
    OutOfMemory,
    WorkDirError,
)
_CURES = {
    errno.ENOSPC: 'free some space and run the same command again',
    errno.EACCES: 'use a file or folder that this user may read and write',
    errno.EPERM: 'use a file or folder that this user may read and write',
    errno.EROFS: 'the file system is read-only; use another --work-dir',
    errno.EFBIG: 'files of this size are not allowed here (ulimit -f); allow them, or use another '
    '--work-dir',
    errno.EDQUOT: 'your quota is used up; free some space and run the same command again',
}


def run(work: Callable[..., int | None], args: argparse.Namespace) -> None:
    """Call ``work(args, launcher, force_cpu)`` in this process, or in one for each of ``--gpus``.

    What ``work`` returns is the exit code.  Mistakes in config, data, files or disks end with one
    line, without a traceback.
    """
    if args.local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher == 'none':
        _guarded(run_on_gpus, args.gpus, _guarded, work, args)
    else:
        _guarded(work, args, args.launcher, args.gpus == 0)


@contextmanager
def mistakes_in_one_line() -> Iterator[None]:
    """Within the block a mistake in config, data, files or disks ends the program with one line."""
    # A warning about the data is one log line, without the line of code that raised it.
    warnings.showwarning = _show(warnings.showwarning)
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        message = one_line(error)
        if message is None:
            raise
        raise SystemExit(f'error: {message}') from None


def _guarded(work: Callable[..., int | None], *args: Any) -> None:
    with mistakes_in_one_line():
        code = work(*args)
    stop()
    if code:
        raise SystemExit(code)


def _show(otherwise: Callable[..., None]) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, DataWarning):
            logging.getLogger('hrdet').warning('%s', message)
        else:
            otherwise(message, category, *place)

    return show


def one_line(error: Exception) -> str | None:
    """The message for a mistake of the user or a failure of the machine; None for a bug."""
    text = str(error)
    # For an error in a loader worker torch puts the worker's traceback before the message.
    if 'Original Traceback' in text:
        text = text.rpartition(f'{type(error).__name__}: ')[2].strip()
    if isinstance(error, _MISTAKES):
        return text
    if isinstance(error, OSError):
        reason = error.strerror or text
        place = f'{error.filename}: ' if error.filename else ''
        cure = _CURES.get(error.errno)
        return f'{place}{reason}' + (f'; {cure}' if cure and cure not in reason else '')
    if 'shared memory' in text:
        return (
            f'the shared memory of this machine is used up ({text.splitlines()[-1]}): give it more '
            f'(docker run --shm-size 8g), or set data.workers_per_gpu=0, or a smaller batch'
        )
    if 'Too many open files' in text:
        return (
            f'{text.splitlines()[0]} Each batch of the loader workers takes some: allow more '
            f'(ulimit -n 8192), or set data.workers_per_gpu=0'
        )
    if 'DataLoader worker' in text:
        return (
            f'a loader worker died ({text.splitlines()[0]}), usually for want of memory: set '
            f'data.workers_per_gpu or data.imgs_per_gpu lower, and run the same command again'
        )
    if lost_process(error):
        return 'another process of this run has ended (see its message); run the same command again'
    return None
