"""Communication between the processes of a run: small Python values and CPU tensors.

They are sent over gloo, even if gradients are sent over NCCL, so that no process waits for its GPU
to exchange a number.  In a single process these functions return their arguments unchanged.
``hrdet.engine.launch`` starts the processes.
"""

import contextlib
import inspect
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

_PATIENCE = 60.0  # seconds; process groups wait for 600 (NCCL) or 1800 (gloo)
_AT_WORK = 'rank 0 is still at work'
_SIGNS_OF_LOSS = (  # in gloo's errors
    'Connection closed by peer',
    'Connection reset by peer',
    'Broken pipe',
    'Timed out waiting',
    'Application timeout',
    'Read error',
    'Write error',
)
_SECONDS_TO_NOTICE = 20  # that a process has ended, after the first has


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def broadcast_object(value: Any) -> Any:
    """Rank 0's value, on every process (plain Python objects)."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device('cpu'))
    return box[0]


def gather_objects(value: Any) -> list[Any] | None:
    """The values of all processes, by rank, as a list on rank 0; None elsewhere."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size() if rank() == 0 else None
    dist.gather_object(value, values, dst=0)
    return values


def barrier() -> None:
    """Wait until every process has called it."""
    if world_size() > 1:
        dist.all_reduce(torch.zeros(1))


def all_reduce_mean(tensor: torch.Tensor) -> torch.Tensor:
    """The mean of a CPU tensor over all processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= world_size()
    return tensor


def on_rank_0(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function on rank 0 only; every process gets its result, or its error.

    It may take any time: the others do not run into the timeout of the process group.
    """
    # 1. Rank 0 works.  Its answer is (result, error); meanwhile a thread of it sends _AT_WORK.
    answer = None
    if rank() == 0:
        with _still_at_work():
            try:
                answer = function(*arguments), None
            except Exception as error:
                answer = None, error
    # 2. The others take what is sent until it is the answer.
    answer = broadcast_object(answer)
    while answer == _AT_WORK:
        answer = broadcast_object(None)
    result, error = answer
    if error is not None:
        raise error
    return result


@contextmanager
def _still_at_work() -> Iterator[None]:
    """Within the block a thread of rank 0 tells the others every minute to wait on."""
    if world_size() == 1:
        yield
        return
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_PATIENCE):
            broadcast_object(_AT_WORK)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class LostProcessError(RuntimeError):
    """Another process of the run has ended or no longer answers; the message names it."""


def lost_process(error: Exception) -> bool:
    """Whether an error of communication says that another process is gone."""
    signs = any(sign in str(error) for sign in _SIGNS_OF_LOSS)
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and signs)


class RollCall:
    """Finds out which process of a run is missing, when communication has failed.

    Each process locks a byte of a file for as long as it lives, by its rank, and a second one when
    it has noticed a failure.  The system releases the locks of a process that ends in any way.
    Without locks (other systems, some network folders) the message names nobody.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self._file = open(path, 'a+b') if fcntl is not None and world_size() > 1 else None  # noqa: SIM115
        self._hold(rank())

    def explain(self, error: Exception) -> None:
        """Raise a LostProcessError for an error of communication; return after any other."""
        if world_size() == 1 or not lost_process(error):
            return
        # Those that live notice the failure too, within moments of each other.
        self._hold(world_size() + rank())
        silent: list[int] = []
        for _ in range(_SECONDS_TO_NOTICE * 10):
            ended = [one for one in range(world_size()) if self._is_free(one)]
            silent = [n for n in range(world_size()) if self._is_free(world_size() + n)]
            if ended or not silent:
                break
            time.sleep(0.1)
        names = ', '.join(map(str, ended or silent))
        what = 'has ended' if ended else 'no longer answers'
        raise LostProcessError(
            f'process {names} of {world_size()} {what}: killed, out of memory, or stopped? Its own '
            f'message, if it left one, says why. Run the same command again to resume'
            if names
            else 'another process of this run has ended (see its message); run the same command '
            'again to resume'
        ) from None

    def _hold(self, byte: int) -> None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)

    def _is_free(self, byte: int) -> bool:
        """Whether no other process holds a byte; its own count as held."""
        if self._file is None or byte % world_size() == rank():
            return False
        try:
            # Shared, so that two processes that ask do not see each other.
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)
            return True
        except OSError:
            return False


def data_parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """The model as every process calls it: with several, DDP averages the gradients."""
    if world_size() == 1:
        return model
    accepted = inspect.signature(DistributedDataParallel).parameters
    # Buffers are not broadcast in every forward, but by ``broadcast_buffers`` when they are needed.
    no_exchange = 'forward_sync_buffers'  # the name of broadcast_buffers from torch 2.13 on
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == 'cuda' else None,
        gradient_as_bucket_view=True,
        **{no_exchange if no_exchange in accepted else 'broadcast_buffers': False},
    )


def broadcast_buffers(model: nn.Module) -> None:
    """Give every process rank 0's running statistics, which are evaluated and saved."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def seed_everything(seed: int, iteration: int) -> None:
    """Seed torch (CPU and GPUs), numpy and random for one iteration.

    The state of the generators need not be saved: a resumed run draws the same numbers as an
    uninterrupted one.
    """
    words = np.random.SeedSequence((seed, rank(), iteration)).generate_state(4)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2])  # noqa: NPY002 - what transforms of users may draw from
    random.seed(int(words[3]))
