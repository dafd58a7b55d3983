"""What a run tells: console lines, JSON lines in a file, TensorBoard, curves at the end."""

import datetime
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from hrdet.distributed import rank, world_size
from hrdet.visualize import plot_curves
from hrdet.wording import counted

LOG_FILE, CURVES_FILE = 'log.jsonl', 'curves.png'


class LogHook(Hook):
    """Logs losses, learning rate, times and memory every ``interval`` iterations of an epoch.

    The losses come from the loop's record, one transfer for the whole interval.  ``time`` is the
    wall time of an iteration, ``data_time`` the part of it spent waiting for the batch, in seconds;
    ``memory`` the peak in MB, of the GPU or else of the process; ``eta`` in seconds.

    Other hooks with a method ``after_log(runner, entry)`` get every entry as it is written.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def before_train(self, runner) -> None:
        self._file = Path(runner.work_dir) / LOG_FILE
        self._trained = 0.0  # seconds and iterations of this process, without evaluation
        self._iterations = 0
        self._told_cause = False
        self._write(runner, dict(mode='start', step=runner.iter, seed=runner.seed))

    def before_train_epoch(self, runner) -> None:
        self._start_interval()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._data_time += time.perf_counter() - self._last

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._count += 1
        ends = batch_idx + 1 == runner.train_loop.epoch_length
        if (batch_idx + 1) % self.interval == 0 or ends:
            self._log(runner, batch_idx)
            self._start_interval()
        self._last = time.perf_counter()

    def after_val_epoch(self, runner, metrics=None) -> None:
        entry = dict(mode='val', epoch=max(runner.epoch, 1), step=runner.iter, **(metrics or {}))
        self._write(runner, entry)

    def after_train(self, runner) -> None:
        self._plot()

    def after_interrupt(self, runner) -> None:
        self._plot()

    def _plot(self) -> None:
        if rank() == 0 and '"train"' in self._file.read_text():
            plot_curves(self._file, self._file.with_name(CURVES_FILE))

    def _start_interval(self) -> None:
        self._since = self._last = time.perf_counter()
        self._data_time = 0.0
        self._count = 0

    def _log(self, runner, batch_idx: int) -> None:
        losses = runner.train_loop.losses.take()  # waits for the device: the times are true
        seconds = time.perf_counter() - self._since
        self._trained += seconds
        self._iterations += self._count
        step = runner.iter + 1
        entry = dict(
            mode='train',
            epoch=runner.epoch + 1,
            iter=batch_idx + 1,
            step=step,
            lr=float(runner.optim_wrapper.optimizer.param_groups[0]['lr']),
            eta=round(self._trained / self._iterations * (runner.max_iters - step)),
            time=seconds / self._count,
            data_time=self._data_time / self._count,
            memory=_peak_memory(runner.device),
            **losses,
        )
        runner.logger.info(_line(entry, runner.train_loop.epoch_length))
        self._write(runner, entry)
        if self._iterations > self._count:  # the first interval starts the workers
            self._tell_cause(runner, entry)

    def _write(self, runner, entry: dict[str, Any]) -> None:
        if rank() > 0:
            return
        with self._file.open('a') as file:
            file.write(json.dumps(entry) + '\n')
        if entry['mode'] != 'start':
            scalars = {k: v for k, v in entry.items() if k not in ('mode', 'step')}
            runner.visualizer.add_scalars(scalars, step=entry['step'])
        runner.call_hook('after_log', entry=entry)

    def _tell_cause(self, runner, entry: dict[str, Any]) -> None:
        """Once a run: why it waits for data, if it does."""
        share = entry['data_time'] / entry['time']
        if share < 0.4 or self._told_cause:
            return
        self._told_cause = True
        workers, cores = runner.train_dataloader.num_workers, os.cpu_count() or 1
        local = int(os.environ.get('LOCAL_WORLD_SIZE', world_size()))
        if workers * local < cores:
            cure = f'set data.workers_per_gpu to {max(cores // local, workers + 1)}'
        else:
            cure = 'every core has one: use smaller images or files, or a machine with more cores'
        runner.logger.warning(
            f'data loading is the bottleneck: {share:.0%} of the time goes into waiting for '
            f'batches ({entry["data_time"]:.2f} of {entry["time"]:.2f} s an iteration) with '
            f'workers_per_gpu={workers}, {counted(local, "process", "processes")} and '
            f'{counted(cores, "CPU core")} here; {cure}'
        )


def _peak_memory(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10


def _line(entry: dict[str, Any], epoch_length: int) -> str:
    losses = ', '.join(
        f'{name}: {value:.4f}'
        for name, value in entry.items()
        if name.split('.')[-1].startswith('loss')  # s0.loss_cls is that of a cascade's first stage
    )
    return (
        f'Epoch [{entry["epoch"]}][{entry["iter"]}/{epoch_length}]  lr: {entry["lr"]:.3e}, '
        f'eta: {datetime.timedelta(seconds=entry["eta"])}, time: {entry["time"]:.3f}, '
        f'data_time: {entry["data_time"]:.3f}, memory: {entry["memory"]}, {losses}'
    )
