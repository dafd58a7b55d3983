"""Handle Ctrl-C and SIGTERM: stop all processes after the same iteration."""

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

SAVE = 1  # a request below SIGINT (2) and SIGTERM (15): the processes act on the largest
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 2.0  # seconds in which a repeated signal is an echo (launcher and terminal both send)


class Stopped(Exception):
    """Raised inside ``StopSignal.at_once``."""


class StopSignal:
    """A context in which both signals only set a request, which ``agree`` reads between iterations.

    A second signal more than two seconds after the first ends the program at once.
    With several processes ``agree`` starts an asynchronous all-reduce of the requests over the CPUs
    and waits for the one of the previous call: a stop takes effect one iteration later, and no
    iteration waits for the exchange.
    """

    def __init__(self) -> None:
        self.signum = 0  # received by this process
        self._since = 0.0
        self._process = os.getpid()
        self._at_once = False
        self._previous: dict[signal.Signals, object] = {}
        self._request: torch.Tensor | None = None
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
            self._work = self._request = None

    def _receive(self, signum: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked loader worker: it lives until the loader ends it
        if self._at_once:
            self.signum = signum
            raise Stopped
        if not self.signum:
            self.signum, self._since = signum, time.monotonic()
        elif time.monotonic() - self._since > _PATIENCE:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the context a signal raises ``Stopped``: for work that can be repeated."""
        self._at_once = True
        try:
            if self.signum and world_size() == 1:
                raise Stopped
            yield
        finally:
            self._at_once = False

    def agree(self, save: bool = False) -> int:
        """A signal's number, SAVE where a process asks to ``save``, or 0; the same everywhere.

        Every process calls it after the same iterations.
        """
        request = self.signum or (SAVE if save else 0)
        if world_size() == 1:
            return request
        # Take the result of the previous exchange; start another one unless it holds a request.
        agreed = 0
        if self._work is not None:
            self._work.wait()
            self._work, agreed = None, int(self._request)
        if not agreed:
            self._request = torch.tensor(request)
            self._work = dist.all_reduce(self._request, dist.ReduceOp.MAX, async_op=True)
        return agreed
