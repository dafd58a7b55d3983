"""Evaluation: predict a data set and pass each result to consumers; validation during a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.utils.data import DataLoader

from hrdet.distributed import broadcast_buffers, on_rank_0
from hrdet.engine.stop_signal import Stopped
from hrdet.evaluation import Evaluator, metrics_of
from hrdet.structures import ImageMeta
from hrdet.tracking import SamplePictures

if TYPE_CHECKING:
    from hrdet.engine.trainer import Trainer


class Consumer(Protocol):
    """Takes predictions one by one: an evaluator, a writer, a progress bar."""

    def update(self, meta: ImageMeta, result: Any) -> None:
        """The result of one image."""


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Iterable, consumers: Sequence[Consumer], device: torch.device
) -> None:
    """Predict this process's share of a data set; every result goes to all consumers."""
    model.eval()
    for batch in loader:
        results = model(batch.to(device), mode='predict')
        for meta, result in zip(batch.metas, results):
            for consumer in consumers:
                consumer.update(meta, result)


class Tester(NamedTuple):
    """A model and the data set to test it on."""

    model: nn.Module
    loader: DataLoader
    evaluator: Evaluator | None  # None: predict only
    device: torch.device
    work_dir: Path

    def run(self, *consumers: Consumer) -> dict[str, float]:
        """Predict and evaluate; the metrics, on every process."""
        evaluators = [] if self.evaluator is None else [self.evaluator]
        evaluate(self.model, self.loader, [*evaluators, *consumers], self.device)
        return {} if self.evaluator is None else metrics_of(self.evaluator)


class Validation(NamedTuple):
    """The evaluations of a training run."""

    loader: DataLoader
    evaluator: Evaluator

    def run(self, trainer: Trainer) -> None:
        """Evaluate the weights (their average with EMA) and keep the best; a signal ends it."""
        pictures = SamplePictures(trainer.log.trackers, self.loader.dataset, trainer.iter)
        ema, consumers = trainer.step.ema, [self.evaluator, pictures, *trainer.consumers]
        with ema.swapped() if ema is not None else contextlib.nullcontext():
            broadcast_buffers(trainer.model)
            trainer.call('before_validation')
            try:
                with trainer.signal.at_once():
                    evaluate(trainer.model, self.loader, consumers, trainer.device)
                    metrics = metrics_of(self.evaluator)
            except (Stopped, RuntimeError):  # the latter where another process has left
                if not trainer.signal.signum:
                    raise
                trainer.stopped_by, trainer.stopped_together = trainer.signal.signum, False
                return
        # Only a complete evaluation is announced, saved and logged.
        trainer.call('after_validation', metrics)
        trainer.checkpoints.save_best(trainer, metrics)
        trainer.log.validation(trainer, metrics)  # last: resuming finds here that it is done
        trainer.take_metrics(metrics)

    def make_up(self, trainer: Trainer) -> None:
        """On a resume, run a validation that a stop prevented; after the last iteration always."""
        metrics = on_rank_0(trainer.log.validation_at, trainer.iter)
        if metrics is None or trainer.ended:
            self.run(trainer)
        else:
            trainer.take_metrics(metrics)
