"""The training step, and the loops around it: epochs of training, passes of evaluation."""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor
from torch.utils.data import DataLoader

from hrdet.checkpoints import CheckpointError
from hrdet.distributed import broadcast_object, gather_objects
from hrdet.engine.loss_record import LossRecord
from hrdet.engine.randomness import seed_iteration
from hrdet.engine.stop_signal import Stopped, StopSignal
from hrdet.engine.transfer import Transfer
from hrdet.structures import Batch, Detections, ImageMeta

Prediction = tuple[ImageMeta, Detections]


class TrainLoop(BaseLoop):
    """Epochs of training steps, resumable at any step.

    ``epoch`` counts finished epochs, ``position`` finished iterations of the current one, ``iter``
    finished iterations of all.  Together with the seed they determine what comes next: the batch
    sampler's order is a function of (seed, epoch), a sample's augmentation of (seed, epoch, index),
    and the generators are seeded at every iteration.

    The loader's ``batch_sampler`` has ``set_epoch(epoch)`` and ``skip(iterations)``.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: DataLoader,
        max_epochs: int,
        val_interval: int = 1,
        val_begin: int = 1,
    ) -> None:
        super().__init__(runner, dataloader)
        self.max_epochs = max_epochs
        self.epoch_length = len(dataloader.batch_sampler)
        self.max_iters = max_epochs * self.epoch_length
        self.val_interval = val_interval
        self.val_begin = val_begin
        self.epoch = self.iter = self.position = 0
        self.losses = LossRecord()
        self.transfer = Transfer(runner.device)
        self.stop_training = False  # set by mmengine's EarlyStoppingHook
        self.stopped_by = 0  # the signal that ended the run early

    def run(self) -> torch.nn.Module:
        """Train to the last epoch, or until a signal asks to stop."""
        self.runner.call_hook('before_train')
        with StopSignal() as stop:
            if self.epoch >= self.max_epochs:  # resumed from the end: no training, one evaluation
                self._validate(stop)
            while self.epoch < self.max_epochs and not self.stop_training and not self.stopped_by:
                self.run_epoch(stop)
                if self.position == 0 and not self.stopped_by:
                    self._validate(stop)
        self.runner.call_hook('after_interrupt' if self.stopped_by else 'after_train')
        return self.runner.model

    def run_epoch(self, stop: StopSignal) -> None:
        """The iterations of an epoch from ``position`` on."""
        self.dataloader.batch_sampler.set_epoch(self.epoch)
        self.dataloader.batch_sampler.skip(self.position)
        self.runner.optim_wrapper.initialize_count_status(
            self.runner.model, self.position, self.epoch_length
        )
        self.runner.model.train()
        self.runner.call_hook('before_train_epoch')
        for batch in self.dataloader:
            self.run_iter(batch)
            signum = stop.asked()
            if signum and self.runner.optim_wrapper.should_update():  # nothing half accumulated
                self.stopped_by = signum
                break
        if self.position >= self.epoch_length:
            self.runner.call_hook('after_train_epoch')
            self.epoch, self.position = self.epoch + 1, 0

    def run_iter(self, batch: Batch) -> None:
        """One training step between its hooks."""
        seed_iteration(self.runner.seed, self.iter)
        hook_arguments = dict(batch_idx=self.position, data_batch=batch)
        self.runner.call_hook('before_train_iter', **hook_arguments)
        losses = self.step(self.transfer(batch))
        self.losses.add(self.iter, losses, batch)
        self.runner.call_hook('after_train_iter', **hook_arguments, outputs=losses)
        self.iter += 1
        self.position += 1

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """The training step, all of it; returns the losses and their sum ``loss``."""
        model, optimizer = self.runner.model, self.runner.optim_wrapper
        with optimizer.optim_context(model):  # mixed precision, gradient exchange
            losses = model(batch, mode='loss')
            total = sum(losses.values())
        optimizer.update_params(total)  # backward, clip, step, zero
        return {name: loss.detach() for name, loss in (losses | {'loss': total}).items()}

    def state(self) -> dict[str, int]:
        """Where the training stands, also when a hook asks at the end of an epoch."""
        ended = self.position >= self.epoch_length
        return dict(
            epoch=self.epoch + ended,
            iter=self.iter,
            position=0 if ended else self.position,
            epoch_length=self.epoch_length,
        )

    def resume(self, state: dict[str, int]) -> None:
        """Go on from ``state()``.

        Raises:
            CheckpointError: the epoch had another number of iterations when the state was saved.
        """
        if state['epoch_length'] != self.epoch_length:
            raise CheckpointError(
                f'the checkpoint comes from epochs of {state["epoch_length"]} iterations, here '
                f'they have {self.epoch_length}: resume with the same data, images per process '
                f'and number of processes, or start anew from its weights with load_from='
            )
        self.epoch, self.iter, self.position = state['epoch'], state['iter'], state['position']

    def _validate(self, stop: StopSignal) -> None:
        last = self.epoch >= self.max_epochs or self.stop_training
        due = self.epoch % self.val_interval == 0 and self.epoch >= self.val_begin
        if self.runner.val_loop is not None and (due or last):
            try:
                with stop.at_once():
                    self.runner.val_loop.run()
            except Stopped as error:
                self.stopped_by = error.signum


class EvalLoop(BaseLoop):
    """One pass over a data set: every image once, results in data-set order on process 0.

    The loader's batches (or views) are this process's stretch of the data set.
    ``evaluator(predictions)`` turns the list of ``(ImageMeta, Detections)`` into metrics, the most
    important first, and checks that no image is missing or came twice.  ``predictions`` keeps that
    list (process 0).
    """

    stage = 'val'

    def __init__(
        self, runner: Any, dataloader: DataLoader, evaluator: Callable[[list], dict[str, float]]
    ) -> None:
        super().__init__(runner, dataloader)
        self.evaluator = evaluator
        self.predictions: list[Prediction] = []

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Predict, gather, evaluate; the metrics are returned on every process."""
        self._call('before_{}')
        self._call('before_{}_epoch')
        model = self.runner.bare_model.eval()
        mine: list[Prediction] = []
        for index, batch in enumerate(self.dataloader):
            self._call('before_{}_iter', batch_idx=index, data_batch=batch)
            detections = model(batch.to(self.runner.device), mode='predict')
            mine += zip(batch.metas, detections)
            self._call('after_{}_iter', batch_idx=index, data_batch=batch, outputs=detections)
        shares = gather_objects(mine)
        metrics = None
        if shares is not None:
            self.predictions = [prediction for share in shares for prediction in share]
        if hasattr(self.evaluator, 'compute'):  # reduces over the processes by itself
            metrics = self.evaluator(mine)
        elif shares is not None:
            metrics = self.evaluator(self.predictions)
        metrics = broadcast_object(metrics)
        self._call('after_{}_epoch', metrics=metrics)
        self._call('after_{}')
        return metrics

    def _call(self, hook: str, **arguments: Any) -> None:
        self.runner.call_hook(hook.format(self.stage), **arguments)


class TestLoop(EvalLoop):
    """The same pass, at mmengine's hook points for tests."""

    stage = 'test'
