"""Ctrl-C and SIGTERM: stop after the iteration at hand, on all processes after the same one."""

import datetime
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import torch
import torch.distributed as dist

from hrdet.distributed import world_size

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 2.0  # seconds in which a repeated signal is an echo (launcher and terminal both send)


class Stopped(Exception):
    """Raised inside ``StopSignal.at_once``."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class StopSignal:
    """A context in which the two signals become a number to ask for between iterations.

    A second signal later than two seconds after the first ends the program at once.
    With several processes every ``asked`` starts an all-reduce of the flag between the CPUs and
    waits for the previous one: they agree on the iteration, one late, without waiting for it.
    """

    def __init__(self) -> None:
        self._signum = 0  # received by this process
        self._since = 0.0
        self._process = os.getpid()
        self._agreed = 0  # known to every process
        self._at_once = False
        self._previous: dict[signal.Signals, object] = {}
        self._flag: torch.Tensor | None = None
        self._work: dist.Work | None = None

    def __enter__(self) -> 'StopSignal':
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._receive) for s in _SIGNALS}
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        if self._work is not None:  # an exchange still under way at exit aborts the process
            with suppress(RuntimeError if error else ()):
                self._work.wait(datetime.timedelta(seconds=10))
            self._work = self._flag = None

    def _receive(self, signum: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked loader worker, which lives as long as the loader wants
        if self._at_once:
            raise Stopped(signum)
        if not self._signum:
            self._signum, self._since = signum, time.monotonic()
        elif time.monotonic() - self._since > _PATIENCE:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside it a signal raises ``Stopped``: for work that can simply be dropped."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def asked(self) -> int:
        """The signal's number if the run is to stop now, else 0; the same on every process."""
        if world_size() == 1 or self._agreed:
            return self._agreed or self._signum
        if self._work is not None:
            self._work.wait()
            self._work, self._agreed = None, int(self._flag)
        if not self._agreed:
            self._flag = torch.tensor(self._signum)
            self._work = dist.all_reduce(self._flag, dist.ReduceOp.MAX, async_op=True)
        return self._agreed
