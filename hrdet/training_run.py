"""Train from Python: ``train`` runs what ``tools/train.py`` runs, and returns what the run left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from hrdet.config import Config, load_config
from hrdet.engine.build import TrainOptions, build_trainer
from hrdet.engine.checkpointing import FINAL, LATEST
from hrdet.engine.hooks import Hook
from hrdet.finetune import config_for
from hrdet.tracking.trackers import LOG_FILE


@dataclass(frozen=True)
class TrainingRun:
    """What a training has left in its work folder."""

    work_dir: Path
    config: Path  # the whole config of the run, as a file
    metrics: dict[str, float]  # of the last evaluation; empty without one
    complete: bool  # False: stopped by Ctrl-C; the same call resumes

    @property
    def final(self) -> Path | None:
        """The weights after the last iteration."""
        return _existing(self.work_dir / FINAL)

    @property
    def latest(self) -> Path | None:
        """The newest checkpoint, with the optimizer's state, from which a run resumes."""
        return _existing(self.work_dir / LATEST)

    @property
    def best(self) -> Path | None:
        """The weights with the best value of the evaluator's first metric."""
        found = sorted(self.work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
        return found[-1] if found else None

    @property
    def checkpoint(self) -> Path | None:
        """The weights to use: the best, else the final, else the newest ones."""
        return self.best or self.final or self.latest

    @property
    def history(self) -> list[dict[str, Any]]:
        """The entries of ``log.jsonl``: losses by ``mode='train'``, metrics by ``mode='val'``."""
        path = self.work_dir / LOG_FILE
        lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]


def train(
    config: str | Path | Mapping[str, Any] | Config,
    data: str | Path | None = None,
    batch: int | None = None,
    device: str | None = None,
    epochs: int | None = None,
    **overrides: Any,
) -> TrainingRun:
    """Train a model on one device, until it is done or Ctrl-C stops it.

    Called again with the same arguments it resumes.

    Args:
        config: a config file, its content, or the name of a published model.
        data: data of your own; then the config is derived from it and the model ``config``, as by
            ``tools/train.py MODEL --data``.
        batch: with ``data``, images of a batch; None: as many as memory allows.
        device: 'cpu' or 'cuda'; None: the GPU if there is one.
        epochs: with ``data``, length of the training; None: by the size of the data.
        overrides: options of ``hrdet.engine.build.TrainOptions`` (``work_dir``, ``load_from``,
            ``seed``, ``validate``, ...), and values of the config, as in
            ``optimizer=dict(lr=0.01)`` or ``**{'data.imgs_per_gpu': 4}``.

    Raises:
        ConfigError, DataError, CheckpointError, FileNotFoundError: with what to change.
    """
    force_cpu = device is not None and torch.device(device).type == 'cpu'
    if data is not None:
        config = config_for(str(config), str(data), batch, force_cpu, epochs=epochs)
    names = [item.name for item in fields(TrainOptions)]
    options = TrainOptions(**{name: overrides.pop(name) for name in names if name in overrides})
    loaded = load_config(config, overrides)
    trainer = build_trainer(loaded, options, force_cpu=force_cpu)
    last = _LastMetrics()
    trainer.hooks.append(last)
    stopped = trainer.run()
    written = trainer.work_dir / Path(loaded.filename or 'config.py').name
    return TrainingRun(trainer.work_dir, written, last.metrics, complete=not stopped)


class _LastMetrics(Hook):
    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_validation(self, trainer: Any, metrics: dict[str, float]) -> None:
        self.metrics = dict(metrics)


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
