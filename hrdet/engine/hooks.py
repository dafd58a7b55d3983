"""The base class of hooks: user code at fixed moments of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing a hook does not import torch
    from pathlib import Path

    from torch import Tensor

    from hrdet.engine.trainer import Trainer
    from hrdet.structures import Batch


class Hook:
    """Base of hooks: override the moments you need.

    A config names hooks in ``custom_hooks`` and imports their module in ``custom_imports``::

        from hrdet.engine import Hook
        from hrdet.registry import register

        @register()
        class StopAt(Hook):
            def __init__(self, score):
                self.score = score

            def after_validation(self, trainer, metrics):
                if metrics['bbox_AP'] >= self.score:
                    trainer.stop('good enough')

        # config: custom_hooks = [dict(type='StopAt', score=0.4)]

    Hooks run on every process, in the order of the list.  ``trainer`` has ``model`` (without the
    DistributedDataParallel wrapper), ``optimizer``, ``loader``, ``device``, ``work_dir``,
    ``logger``, ``iter`` (finished iterations), ``epoch`` (finished epochs), ``max_iters``,
    ``epoch_length``, and ``stop(reason)``, which ends the run after the current iteration.
    """

    def before_run(self, trainer: Trainer) -> None:
        """Everything is built and loaded; nothing is trained yet."""

    def after_run(self, trainer: Trainer) -> None:
        """The run is over, also after a signal or an error."""

    def before_epoch(self, trainer: Trainer) -> None:
        """An epoch begins, or continues after a resume."""

    def after_epoch(self, trainer: Trainer) -> None:
        """An epoch is trained; its checkpoint and evaluation follow."""

    def before_iteration(self, trainer: Trainer, batch: Batch) -> None:
        """``batch`` is still on the host."""

    def after_iteration(self, trainer: Trainer, batch: Batch, losses: dict[str, Tensor]) -> None:
        """``losses`` are on the device; reading one waits for the device."""

    def before_validation(self, trainer: Trainer) -> None:
        """The model holds the weights that will be evaluated (their average with EMA)."""

    def after_validation(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """The training weights are back; ``metrics`` are the same on every process."""

    def before_checkpoint(self, trainer: Trainer, checkpoint: dict[str, Any]) -> None:
        """``checkpoint`` is about to be written (rank 0): tensors and plain types may be added."""

    def after_checkpoint(self, trainer: Trainer, path: Path) -> None:
        """A checkpoint has been written (rank 0)."""

    def after_resume(self, trainer: Trainer, checkpoint: dict[str, Any]) -> None:
        """``checkpoint`` has been restored; it holds what ``before_checkpoint`` added."""

    def after_log(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """``entry`` has been logged (rank 0); ``entry['mode']`` is 'start', 'train' or 'val'."""
