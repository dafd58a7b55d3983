"""Build torch's DataLoader; its workers use one thread each and write pixels to shared memory."""

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.queues import Queue
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from hrdet.data.collate import check_pad_size, collate
from hrdet.data.datasets import ImageDataset
from hrdet.data.samplers import AspectGroupBatchSampler, SequentialShard
from hrdet.ops.malloc import keep_memory
from hrdet.structures import Batch

_logger = logging.getLogger('hrdet')
KEPT = 128 << 20  # bytes of freed memory that a worker keeps for its next images


def build_loader(
    dataset: ImageDataset,
    batch_size: int,
    num_workers: int = 2,
    training: bool = True,
    rank: int = 0,
    world_size: int = 1,
    seed: int = 0,
    pad_size: tuple[int, int] | None = None,
    size_divisor: int = 1,
) -> DataLoader:
    """A loader of Batches on the host, in page-locked memory if there is a GPU.

    Its ``batch_sampler`` is an AspectGroupBatchSampler for training, on which the caller sets the
    epoch, and otherwise a SequentialShard.  ``batch_size`` and ``num_workers`` are per process; no
    more workers are started than there are cores, and a line says so.

    Raises:
        DataError: ``pad_size`` is too small for an image of the data set.
    """
    # An image that does not fit is an error now, not in the middle of an epoch.
    check_pad_size(dataset, pad_size)
    if training:
        # Without known sizes all images are in one group.
        groups = dataset.aspect_groups
        groups = np.zeros(len(dataset), np.uint8) if groups is None else groups
        batch_sampler = AspectGroupBatchSampler(groups, batch_size, rank, world_size, seed)
    else:
        batch_sampler = SequentialShard(len(dataset), batch_size, rank, world_size)
    cores = os.cpu_count() or 1
    if num_workers > cores:  # more would compete, and take memory
        _report_workers(cores, num_workers)
        num_workers = cores
    return _Loader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=num_workers,
        collate_fn=functools.partial(collate, pad_size=pad_size, size_divisor=size_divisor),
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        persistent_workers=num_workers > 0,
    )


class _Loader(DataLoader):
    """Tells of a worker that died where its next batch is waited for, at most 5 s later.

    torch's handler of SIGCHLD raises that error wherever the program is: between an optimizer's
    step and the line of the log about it, or while workers are ended.  Without it a batch that was
    half sent would be waited for; but what is sent of one, some kB beside shared memory, fits into
    the pipe at once.
    """

    def __iter__(self) -> Iterator[Batch]:
        before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, 'SIGCHLD') else None
        iterator = super().__iter__()
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
        return iterator


@functools.cache
def _report_workers(started: int, wanted: int) -> None:
    # Cached: the loaders of training and validation share one line.
    _logger.info('loader workers: %d instead of %d, one for each core', started, wanted)


def _start_worker(worker: int) -> None:
    # One thread in each worker: more would compete for the cores with the other workers.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_memory(KEPT)
    # A batch that cannot be sent would be dropped, and the training process wait for it.
    Queue._on_queue_feeder_error = staticmethod(_exit_on_error)
    # Terminals and launchers send their signals to the workers too.  A worker ignores them: the
    # training process still finishes its iteration and saves, and then ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_on_sigterm_of_parent, daemon=True).start()


def _exit_on_error(error: Exception, batch: Any) -> None:
    sys.stderr.write(f'error: loader worker: {type(error).__name__}: {error}\n')
    os._exit(1)


def _exit_on_sigterm_of_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
