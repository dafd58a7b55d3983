"""A progress bar for people at a terminal."""

import logging
import sys

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressHook(Hook):
    """One bar for the training run, one for each pass over the validation or test images."""

    priority = 'LOWEST'

    def before_run(self, runner) -> None:
        self._bar = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stdout),
            refresh_per_second=4,
        )
        self._bar.start()
        self._redirect(runner)

    def after_run(self, runner) -> None:
        self._bar.stop()
        self._redirect(runner)

    def before_train(self, runner) -> None:
        self._training = self._bar.add_task('train', total=runner.max_iters, completed=runner.iter)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._bar.advance(self._training)

    def after_log(self, runner, entry) -> None:
        if entry['mode'] == 'train':
            name = f'epoch {entry["epoch"]}/{runner.max_epochs}  loss {entry["loss"]:.3f}'
            self._bar.update(self._training, description=name)

    def before_val(self, runner) -> None:
        self._passing = self._bar.add_task('evaluate', total=len(runner.val_dataloader))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._bar.advance(self._passing)

    def after_val(self, runner) -> None:
        self._bar.remove_task(self._passing)

    def before_test(self, runner) -> None:
        self._passing = self._bar.add_task('test', total=len(runner.test_dataloader))

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._bar.advance(self._passing)

    def _redirect(self, runner) -> None:
        """Log lines go to what sys.stdout is now: above the bar while it runs."""
        for handler in runner.logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setStream(sys.stdout)
