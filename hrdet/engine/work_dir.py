"""The work folder of a run: locked for one training, without temporary files of killed runs."""

import datetime
import os
import re
import socket
from pathlib import Path

import torch

import hrdet
from hrdet.distributed import RollCall, on_rank_0, world_size
from hrdet.logger import start_logging
from hrdet.messages import plural

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

LOCK_FILE = '.lock'
_DRAFT = re.compile(r'\..+\.\d+\.tmp')  # names under which hrdet writes files


class WorkDirError(RuntimeError):
    """A work folder that cannot be used; the message says why and what to do."""


class WorkDir:
    """Keeps a folder for this run until ``release``, or until the process ends.

    The operating system releases the lock with the process (a POSIX record lock, which loader
    workers do not inherit).

    Raises:
        WorkDirError: another training holds the folder (raised on every process).
    """

    def __init__(self, path: str | os.PathLike, log_level: str = 'INFO') -> None:
        self.path = Path(path)
        self._lock = None
        on_rank_0(self._take)
        self.roll_call = RollCall(self.path / '.ranks')
        self.logger = start_logging(log_level, self.path)

    def _take(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        # 'a+' keeps what the holder wrote about itself, for the message.
        lock = (self.path / LOCK_FILE).open('a+')
        try:
            if fcntl is not None:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            raise WorkDirError(
                f'{self.path}: a training is running in this folder ({lock.read().strip()}). Wait '
                f'for it, end it, or use another --work-dir. The lock ends with that process; if '
                f'its machine is gone, delete {lock.name}'
            ) from None
        except OSError as error:
            print(f'{lock.name}: the file system has no locks ({error})')
        # Describe the holder, for the message of another process.
        lock.truncate(0)
        since = datetime.datetime.now().isoformat(' ', 'seconds')
        lock.write(f'process {os.getpid()} on {socket.gethostname()} since {since}\n')
        lock.flush()
        self._lock = lock
        for leftover in self.path.iterdir():  # of writers that were killed
            if _DRAFT.fullmatch(leftover.name):
                leftover.unlink(missing_ok=True)

    def log_start(self, device: torch.device, seed: int) -> None:
        """The first lines of a run: versions, processes, device, seed, folder."""
        name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'
        self.logger.info(
            f'hrdet {hrdet.__version__}, torch {torch.__version__}, '
            f'{plural(world_size(), "process", "processes")} on {name}, '
            f'{plural(torch.get_num_threads(), "CPU thread")} each, seed {seed}'
        )
        self.logger.info(f'work_dir {self.path}')

    def release(self) -> None:
        """Let others train in the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
