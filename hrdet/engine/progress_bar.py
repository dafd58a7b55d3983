"""A progress bar in a terminal."""

import sys
from typing import Any

from rich import progress
from rich.console import Console

from hrdet.engine.hooks import Hook


class ProgressBar(Hook):
    """One bar for the training run, and one for each evaluation."""

    def before_run(self, trainer: Any) -> None:
        columns = progress.TextColumn('{task.description}'), progress.BarColumn()
        columns += progress.MofNCompleteColumn(), progress.TimeElapsedColumn()  # lines have the eta
        console = Console(file=sys.stdout)
        self.bar = progress.Progress(*columns, console=console, refresh_per_second=4)
        self.bar.start()
        self._training = self.bar.add_task('train', total=trainer.max_iters, completed=trainer.iter)
        trainer.consumers.append(self)

    def after_run(self, trainer: Any) -> None:
        self.bar.stop()

    def after_iteration(self, trainer: Any, batch: Any, losses: Any) -> None:
        self.bar.advance(self._training)

    def after_log(self, trainer: Any, entry: dict[str, Any]) -> None:
        if entry['mode'] == 'train':
            name = f'epoch {entry["epoch"]}  loss {entry["loss"]:.3f}'
            self.bar.update(self._training, description=name)

    def before_validation(self, trainer: Any) -> None:
        images = len(trainer.validation.loader.dataset)
        self._evaluating = self.bar.add_task('evaluate', total=images)

    def update(self, meta: Any, result: Any) -> None:
        """The prediction of an image is there."""
        self.bar.advance(self._evaluating)

    def after_validation(self, trainer: Any, metrics: Any) -> None:
        self.bar.remove_task(self._evaluating)
