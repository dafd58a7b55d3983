"""Log a training run: lines on the console, entries for trackers, pictures, a summary."""

import datetime
import logging
import math
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hrdet.data import ImageDataset
from hrdet.distributed import (
    all_reduce_mean,
    broadcast_object,
    gather_objects,
    rank,
    world_size,
)
from hrdet.messages import plural
from hrdet.structures import Batch
from hrdet.tracking.summary import summary
from hrdet.tracking.trackers import LOG_FILE, Trackers
from hrdet.visualize.run_pictures import draw_curves, draw_start

Trainer = Any  # hrdet.engine.Trainer, which this package must not import
_LINE = 85  # columns: 100 with the time before it
# Curves are drawn after validations, at the earliest so many seconds after the start, and then when
# so many times what the last drawing took has passed.
_CURVES_AFTER, _CURVES_SHARE = 10, 20
logger = logging.getLogger('hrdet')


class NonFiniteLoss(RuntimeError):
    """A loss became infinite or not a number; the message names iteration and images."""


class LossBuffer:
    """Keeps the losses of every iteration on the device until they are read.

    ``add`` costs one small kernel and no synchronisation.  ``check`` copies what is new to the host
    in one transfer, averages it over the processes, and raises on the first non-finite loss, on all
    processes together.
    """

    def __init__(self) -> None:
        self._new: list[Tensor] = []  # (number of losses,) each, on the device
        self._paths: list[list[str]] = []  # image files of those iterations
        self._names: tuple[str, ...] = ()
        self._checked: list[dict[str, float]] = []
        self._iteration = 0  # global number of the first entry of _new

    def add(self, iteration: int, losses: dict[str, Tensor], batch: Batch) -> None:
        """Remember the scalar losses of one iteration (numbered from 0)."""
        if not self._new:
            self._iteration = iteration
        self._names = tuple(losses)
        self._new.append(torch.stack([loss.float() for loss in losses.values()]))
        self._paths.append([str(meta.path) for meta in batch.metas])

    def check(self) -> None:
        """Read the new entries back; raises NonFiniteLoss."""
        if not self._new:
            return
        # One transfer to the host for the losses of all iterations since the last check.
        rows = all_reduce_mean(torch.stack(self._new).cpu()).tolist()
        for i, row in enumerate(rows):
            losses = dict(zip(self._names, row))
            if not all(map(math.isfinite, row)):
                shares = broadcast_object(gather_objects(self._paths[i]))
                images = [path for share in shares for path in share]
                raise NonFiniteLoss(_message(self._iteration + i, losses, images))
            self._checked.append(losses)
        self._new.clear()
        self._paths.clear()

    def take(self) -> dict[str, float]:
        """Mean of every loss since the last ``take``, checked."""
        self.check()
        rows, self._checked = self._checked, []
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


class TrainingLog:
    """Logs losses, learning rate, times and memory every ``interval`` iterations.

    The losses come from a buffer on the device, one transfer for the whole interval.  ``time`` is
    the wall time of an iteration, ``data_time`` the part of it spent waiting for the batch, in
    seconds; ``memory`` the peak in MB, of the GPU or else of the process; ``eta`` in seconds.
    Saving and evaluating are not part of the times.
    """

    def __init__(self, interval: int, trackers: Trackers) -> None:
        self.interval = interval
        self.trackers = trackers
        self.losses = LossBuffer()
        self._seconds = 0.0  # and iterations trained by this process
        self._iterations = 0
        self._named_bottleneck = False
        self._started = time.monotonic()
        self._next_curves = self._started + _CURVES_AFTER
        self.start_interval()

    def start(self, trainer: Trainer) -> None:
        """The run begins or is resumed."""
        unit = 'epoch' if trainer.by_epoch else 'iteration'  # of the run's length
        entry = dict(mode='start', step=trainer.iter, seed=trainer.seed, unit=unit)
        self._write(trainer, entry)
        draw_start(trainer)
        self.start_interval()

    def batch_arrived(self) -> None:
        """The wait for the loader is over."""
        self._data_time += time.perf_counter() - self._last

    def iteration(self, trainer: Trainer, losses: dict[str, Tensor], batch: Batch) -> None:
        """Take the losses of a finished iteration, and log at the end of an interval."""
        self.losses.add(trainer.iter - 1, losses, batch)
        self._count += 1
        # Intervals count from the start of the epoch, or of the run.
        position = trainer.position or trainer.epoch_length
        if not trainer.by_epoch:
            position = trainer.iter
        ends = trainer.iter == trainer.max_iters or (trainer.by_epoch and trainer.position == 0)
        if position % self.interval == 0 or ends:
            self._log(trainer)
            self.start_interval()
        self._last = time.perf_counter()

    def validation(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """An evaluation is done."""
        epoch = max(trainer.epoch, 1)
        self._write(trainer, dict(mode='val', epoch=epoch, step=trainer.iter, **metrics))
        # Where evaluations follow each other within seconds, drawing must not slow the run.
        start = time.monotonic()
        if start >= self._next_curves:
            draw_curves(trainer.work_dir / LOG_FILE)
            end = time.monotonic()
            self._next_curves = end + _CURVES_SHARE * (end - start)

    def validation_at(self, step: int) -> dict[str, float] | None:
        """The metrics of this run's evaluation after ``step`` iterations, if it is in the log."""
        # The last evaluation at this step counts, unless a later resume went back before it.
        metrics = None
        for entry in self.trackers.json_lines.entries():
            if entry.get('mode') == 'start' and entry['step'] < step:
                metrics = None  # trained again from there
            elif entry.get('mode') == 'val' and entry['step'] == step:
                metrics = {k: v for k, v in entry.items() if k not in ('mode', 'epoch', 'step')}
        return metrics

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time within the context as training time."""
        # Move the start of the interval by the length of the pause.
        start = time.perf_counter()
        yield
        self._since += time.perf_counter() - start
        self._last = time.perf_counter()

    def finish(self, trainer: Trainer, line: str) -> None:
        """The run is over: draw the curves, and log a summary and, as its last line, ``line``."""
        draw_curves(trainer.work_dir / LOG_FILE)
        seconds = round(time.monotonic() - self._started)
        for text in summary(trainer.work_dir, seconds) if rank() == 0 else ():
            logger.info(text)
        if trainer.stopped_together:
            _tell_left_out(trainer)
        logger.info(line)

    def start_interval(self) -> None:
        """Start measuring the times of the next line."""
        self._since = self._last = time.perf_counter()
        self._data_time = 0.0
        self._count = 0

    def _log(self, trainer: Trainer) -> None:
        losses = self.losses.take()  # waits for the device: the times are true
        # ``eta`` from the mean over this process's whole run, the other times from this interval.
        seconds = time.perf_counter() - self._since
        self._seconds += seconds
        self._iterations += self._count
        entry = dict(
            mode='train',
            epoch=(trainer.iter - 1) // trainer.epoch_length + 1,
            iter=(trainer.iter - 1) % trainer.epoch_length + 1,
            step=trainer.iter,
            lr=float(trainer.optimizer.param_groups[0]['lr']),
            eta=round(self._seconds / self._iterations * (trainer.max_iters - trainer.iter)),
            time=seconds / self._count,
            data_time=self._data_time / self._count,
            memory=_peak_memory(trainer.device),
            **losses,
        )
        logger.info(log_line(entry, trainer.epoch_length, trainer.max_iters, trainer.by_epoch))
        self._write(trainer, entry)
        if self._iterations > self._count:  # the first interval starts the workers
            self._name_bottleneck(trainer, entry)

    def _write(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        if rank() == 0:
            self.trackers.log(entry)
            trainer.call('after_log', entry)

    def _name_bottleneck(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """Warn once if training waits for data, with the reason."""
        share = entry['data_time'] / entry['time']
        if share < 0.4 or self._named_bottleneck:
            return
        self._named_bottleneck = True
        # More workers help while there are idle cores.
        workers, cores = trainer.loader.num_workers, os.cpu_count() or 1
        local = int(os.environ.get('LOCAL_WORLD_SIZE', world_size()))
        if workers * local < cores:
            cure = f'set data.workers_per_gpu to {max(cores // local, workers + 1)}'
        else:
            cure = 'every core has one: use smaller images or files, or a machine with more cores'
        logger.warning(
            f'data loading is the bottleneck: {share:.0%} of the time goes into waiting for '
            f'batches ({entry["data_time"]:.2f} of {entry["time"]:.2f} s an iteration) with '
            f'workers_per_gpu={workers}, {plural(local, "process", "processes")} and '
            f'{plural(cores, "CPU core")} here; {cure}'
        )


def log_line(entry: dict[str, Any], epoch_length: int, max_iters: int, by_epoch: bool) -> str:
    """One line of at most 85 columns; single losses and accuracies as far as they fit."""
    place = f'Epoch [{entry["epoch"]}][{entry["iter"]}/{epoch_length}]'
    if not by_epoch:
        place = f'Iter [{entry["step"]}/{max_iters}]'
    eta = datetime.timedelta(seconds=entry['eta'])
    line = (
        f'{place} lr {entry["lr"]:.1e} {entry["time"]:.2f} s/it eta {eta} loss {entry["loss"]:.3f}'
    )
    # After the sum the single losses, then accuracies, until the line is full.
    names = [name for name in entry if name.split('.')[-1].startswith('loss_')]
    names = names if len(names) > 1 else []  # a single loss is the sum
    names += [name for name in entry if name.split('.')[-1].startswith('acc_')]
    for index, name in enumerate(names):  # s0.loss_cls belongs to a cascade's first stage
        short = name.replace('loss_', '').replace('decode.', '')
        part = f'{"" if index else ":"} {short} {entry[name]:.2f}'
        if len(line) + len(part) > _LINE - 4 * (index + 1 < len(names)):
            return f'{line} ...'
        line += part
    return line


def _tell_left_out(trainer: Trainer) -> None:
    """The images that cannot be used, of which all processes know some."""
    loaders = [trainer.loader, *([trainer.validation.loader] if trainer.validation else [])]
    sets = [loader.dataset for loader in loaders if isinstance(loader.dataset, ImageDataset)]
    lines = [line for dataset in sets for line in dataset.left_out()]
    for line in lines if rank() == 0 else ():
        logger.warning(line)


def _peak_memory(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10


def _message(iteration: int, losses: dict[str, float], images: list[str]) -> str:
    values = ', '.join(f'{name}={value:.4g}' for name, value in losses.items())
    return '\n  '.join(
        [f'the loss is not finite at iteration {iteration + 1}: {values}. Images of that batch:']
        + images
    ) + (
        '\nUsual causes: a learning rate too high for the batch, frozen norms on random weights '
        '(norm_eval=False learns them), no gradient clipping (optimizer_config.grad_clip, '
        "optim_wrapper.clip_grad: dict(max_norm=35)), fp16 (amp='bfloat16' has float32's range), "
        'or boxes that hrdet check reports'
    )
