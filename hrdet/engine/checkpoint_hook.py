"""When checkpoints are written, and under which names."""

import math
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from hrdet.checkpoints import read_checkpoint
from hrdet.distributed import broadcast_object, rank

LATEST, FINAL = 'latest.pth', 'model_final.pth'


class CheckpointHook(Hook):
    """``latest.pth`` after every epoch, ``epoch_N.pth`` at the interval, ``model_final.pth``.

    The names are hard links to one file where the file system has them: every file is written
    under a temporary name and renamed, never changed in place.  The best by the first of the
    evaluation's metrics goes to ``best_<metric>.pth``, weights only, with its metrics in the meta.

    Args:
        interval: epochs between the ``epoch_N.pth``.
        max_keep: how many of them stay (all with -1).
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 1, max_keep: int = -1) -> None:
        self.interval = interval
        self.max_keep = max_keep
        self.best: float | None = None  # not known before the first evaluation
        self.saved = False  # this run has written its latest state

    def after_train_epoch(self, runner) -> None:
        saved = self._save(runner)
        epoch = runner.epoch + 1
        if epoch % self.interval == 0 and rank() == 0:
            link(saved, saved.with_name(f'epoch_{epoch}.pth'))
            if self.max_keep > 0:
                self._drop(runner, epoch - self.max_keep * self.interval)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Keep the weights with the best score so far (those just evaluated)."""
        name, score = next(iter(metrics.items()))
        path = Path(runner.work_dir) / f'best_{name}.pth'
        if self.best is None:
            self.best = (
                broadcast_object(_score_on_disk(path, name)) if runner._resume else -math.inf
            )
        if score <= self.best:
            return
        self.best = score
        runner.about['metrics'] = dict(metrics)
        runner.save_checkpoint(runner.work_dir, path.name, save_optimizer=False)
        del runner.about['metrics']
        runner.logger.info(f'best {name} so far, {score:.4f}: {path}')

    def after_train(self, runner) -> None:
        if not self.saved:  # resumed from the end, perhaps in another folder
            self._save(runner)
        if rank() == 0:
            latest = Path(runner.work_dir) / LATEST
            link(latest, latest.with_name(FINAL))
            runner.logger.info(f'trained to the end: {latest.with_name(FINAL)}')

    def after_interrupt(self, runner) -> None:
        """Save in the middle of an epoch (after its end that has been done)."""
        if runner.train_loop.position > 0 or not self.saved:
            self._save(runner)
        state = runner.train_loop.state()
        runner.logger.info(
            f'stopped by signal {runner.train_loop.stopped_by} in epoch {state["epoch"] + 1} after '
            f'{state["position"]} of {state["epoch_length"]} iterations. The same command goes on '
            f'from there (or --resume_from {Path(runner.work_dir) / LATEST})'
        )

    def _save(self, runner) -> Path:
        self.saved = True
        return runner.save_checkpoint(runner.work_dir, LATEST)

    def _drop(self, runner, newest: int) -> None:
        for epoch in range(newest, 0, -self.interval):
            (Path(runner.work_dir) / f'epoch_{epoch}.pth').unlink(missing_ok=True)


def _score_on_disk(path: Path, metric: str) -> float:
    saved = read_meta(path).get('metrics', {}) if path.is_file() else {}
    return saved.get(metric, -math.inf)


def read_meta(path: str | os.PathLike) -> dict[str, Any]:
    """The ``meta`` of a checkpoint, without reading its tensors."""
    try:
        content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError):  # not a zip file, or not ours
        content = read_checkpoint(path)
    return content.get('meta', {})


def link(source: Path, name: Path) -> None:
    """Give a finished file another name, in one step; a copy where links are not possible."""
    draft = name.with_name(f'.{name.name}.{os.getpid()}.tmp')
    draft.unlink(missing_ok=True)
    try:
        os.link(source, draft)
    except OSError:
        shutil.copyfile(source, draft)
    os.replace(draft, name)
