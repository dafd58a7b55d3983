"""The training loop: a run, its epochs and iterations, and the training step."""

import contextlib
import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from hrdet.config import Training
from hrdet.data import DataError
from hrdet.data.prefetch import Prefetcher
from hrdet.distributed import barrier, data_parallel, seed_everything, world_size
from hrdet.engine.checkpointing import LATEST, Checkpoints
from hrdet.engine.early_stopping import EarlyStopping
from hrdet.engine.evaluate import Consumer, Validation
from hrdet.engine.hooks import Hook
from hrdet.engine.stop_signal import SAVE, StopSignal
from hrdet.engine.work_dir import WorkDir
from hrdet.models.base import total_loss
from hrdet.optim import EMA, build_optimizer, lr_schedule, scale_lr
from hrdet.optimize import fast_training
from hrdet.structures import Batch
from hrdet.tracking import Tracker, Trackers, TrainingLog, explain_out_of_memory


class TrainStep:
    """The whole training step; it can be called without a Trainer.

    Args:
        model: on its device; ``model(batch, mode='loss')`` returns losses and accuracies by name.
            With several processes it is wrapped for DDP.
        optimizer: of the model's parameters.
        device: of the model.
        amp: dtype of autocast, 'float16' or 'bfloat16'; None computes in float32.
        grad_clip: arguments of torch's ``clip_grad_norm_``.
        ema: momentum of the averaged weights.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        amp: str | None = None,
        grad_clip: dict[str, Any] | None = None,
        ema: dict[str, Any] | None = None,
    ) -> None:
        self.model = data_parallel(model, device)
        self.optimizer = optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group['params']]
        self.to_device = Prefetcher(device)
        self.autocast = dict(device_type=device.type, enabled=amp is not None)
        self.autocast |= dict(dtype=getattr(torch, amp) if amp else None)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == 'float16')
        self.grad_clip = grad_clip
        self.ema = EMA(model, **ema) if ema else None

    def __call__(self, batch: Batch, group: int = 1, update: bool = True) -> dict[str, Tensor]:
        """Train on a batch; returns these values and the ``loss``, detached, on the device.

        The gradients of a ``group`` of batches are averaged into one step of the optimizer, which
        ``update`` asks for with the last of them.
        """
        # 1. To the device, on a stream of its own.
        batch = self.to_device(batch)
        # 2. Forward, in mixed precision. Without an update processes exchange no gradients.
        ddp = isinstance(self.model, DistributedDataParallel)
        exchange = self.model.no_sync() if ddp and not update else contextlib.nullcontext()
        with exchange, torch.autocast(**self.autocast):
            losses = self.model(batch, mode='loss')
            total = total_loss(losses)
        # 3. Backward; fp16 scales the loss so that small gradients do not vanish.
        self.scaler.scale(total / group).backward()
        if update:
            # 4. Clip the true gradients, not the scaled ones.
            if self.grad_clip:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.parameters, **self.grad_clip)
            # 5. Step; with fp16 infinite gradients skip it and lower the scale.
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
            # 6. Average the weights.
            if self.ema is not None:
                self.ema.update()
        return {name: loss.detach() for name, loss in (losses | {'loss': total}).items()}


class Trainer:
    """Trains a model, evaluates and saves it; resumable at any iteration.

    ``iter`` counts finished iterations.  With the seed it determines what comes next: the batch
    sampler's order is a function of (seed, epoch), a sample's augmentation of (seed, epoch, index),
    and the generators are seeded at every iteration.

    Args:
        model: is moved to the device.
        loader: of Batches; its ``batch_sampler`` has ``batch_size``, ``set_epoch(epoch)`` and
            ``skip(batches)``.
        training: how to train.
        validation: loader and evaluator; None trains without evaluations.
        meta: plain values for the checkpoints (classes, config text, ...).
        hooks: act at the moments of the run.
        trackers: get what is logged, besides ``log.jsonl``.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: DataLoader,
        training: Training,
        *,
        device: torch.device,
        work_dir: WorkDir,
        seed: int,
        validation: Validation | None = None,
        meta: dict[str, Any] | None = None,
        hooks: Sequence[Hook] = (),
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.device, self.folder, self.seed = device, work_dir, seed
        self.work_dir, self.logger = work_dir.path, work_dir.logger
        self.training, self.meta, self.hooks = training, meta or {}, list(hooks)
        self.loader, self.validation = loader, validation
        self.by_epoch = training.max_iters is None
        self.epoch_length = len(loader.batch_sampler)
        self.images_per_process = loader.batch_sampler.batch_size
        self.unit = self.epoch_length if self.by_epoch else 1  # iterations, of all intervals
        self.max_iters = training.max_iters or training.max_epochs * self.epoch_length
        self.iter, self.resumed = 0, False

        self.model = model.to(device)
        self.optimizer = build_optimizer(self.model, training.optimizer)
        batch = world_size(), self.images_per_process, training.accumulate
        self.logger.info(scale_lr(self.optimizer, *batch, training.auto_scale_lr))
        self.schedule = lr_schedule(self.optimizer, training.schedule, len(loader), self.max_iters)
        options = dict(amp=training.amp, grad_clip=training.grad_clip, ema=training.ema)
        self.step = TrainStep(self.model, self.optimizer, device, **options)
        self.early_stopping = training.early_stopping and EarlyStopping(**training.early_stopping)
        self.checkpoints = Checkpoints(work_dir.path, **training.checkpoint)
        self.log = TrainingLog(training.log_interval, Trackers(work_dir.path, trackers))
        self.consumers: list[Consumer] = []  # of predictions, added by hooks
        self.stopped_by = 0  # the signal that ended the run early
        self.stopped_together = True  # processes agreed on it, or none was asked to stop
        self.stop_reason = ''  # what else ended it early
        self.updated = True  # the state is that after an optimizer step, and nothing half done

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self.iter // self.epoch_length

    @property
    def position(self) -> int:
        """Finished iterations of the current epoch."""
        return self.iter % self.epoch_length

    def run(self) -> int:
        """Train to the end, or until a signal asks to stop; returns the command's exit code."""
        if self.device.type == 'cpu':
            fast_training(self.model)
        # With accumulation and fp16 the schedule does step before the first optimizer step.
        warnings.filterwarnings('ignore', 'Detected call of `lr_scheduler.step', UserWarning)
        self.call('before_run')
        try:
            self.log.start(self)
            with StopSignal() as self.signal:
                if self.resumed:  # perhaps stopped between a checkpoint and its evaluation
                    self.checkpoints.read_best(self)
                    if self._validation_due():
                        self.validation.make_up(self)
                while not self.ended:
                    self.run_epoch()
            self._finish()
        except (DataError, RuntimeError) as error:
            of_loader = isinstance(error, DataError) or 'DataLoader worker' in str(error)
            if of_loader and self.updated and world_size() == 1:  # the others cannot join in
                self.checkpoints.save(self)  # a bad image after hours of training
            self.folder.roll_call.explain(error)
            raise
        finally:
            self.call('after_run')
            self.log.trackers.close()
            self.folder.release()
        return 128 + self.stopped_by if self.stopped_by else 0

    def run_epoch(self) -> None:
        """The iterations of an epoch, from ``position`` on."""
        self.loader.batch_sampler.set_epoch(self.epoch)
        self.loader.batch_sampler.skip(self.position)
        self.model.train()
        self.call('before_epoch')
        self.log.start_interval()
        for batch in self.loader:
            self.run_iteration(batch)
            if self.position == 0:
                self.call('after_epoch')
            if self.updated:  # no group of batches is half done
                self._act_between_iterations()
                if self.ended:
                    break

    def run_iteration(self, batch: Batch) -> None:
        """One iteration; its random numbers follow from (seed, process, iteration)."""
        self.log.batch_arrived()
        seed_everything(self.seed, self.iter)
        self.call('before_iteration', batch)
        group, update = self._accumulation()
        self.updated = False  # an error of the loader from here on saves nothing half done
        try:
            losses = self.step(batch, group, update)
        except RuntimeError as error:
            explain_out_of_memory(error, batch, self.device)
            raise
        self.iter, self.updated = self.iter + 1, update
        self.log.iteration(self, losses, batch)
        self.schedule.step()
        self.call('after_iteration', batch, losses)

    @property
    def ended(self) -> bool:
        """Whether no iteration is left, or something asks to stop."""
        return self.iter >= self.max_iters or bool(self.stopped_by or self.stop_reason)

    def stop(self, reason: str) -> None:
        """End the run after this iteration as if it were the last; the log gives the reason."""
        self.stop_reason = reason

    def state(self) -> dict[str, Any]:
        """Where the run stands, for checkpoints."""
        state = dict(epoch=self.epoch, iter=self.iter, position=self.position)
        state |= dict(epoch_length=self.epoch_length, images_per_process=self.images_per_process)
        if self.early_stopping is not None:
            state['early_stopping'] = dict(self.early_stopping.state)
        return state

    def take_metrics(self, metrics: dict[str, float]) -> None:
        """Stop early if they no longer improve."""
        if self.early_stopping is not None:
            self.stop_reason = self.early_stopping.update(metrics, self.iter) or self.stop_reason

    def call(self, moment: str, *arguments: Any) -> None:
        """Call the hooks at a moment of the run."""
        for hook in self.hooks:
            getattr(hook, moment)(self, *arguments)

    def _accumulation(self) -> tuple[int, bool]:
        """Batches in the current group, and whether this is its last.

        A group ends with the epoch, so that the checkpoint of an epoch holds nothing half done.
        """
        length = min(self.epoch_length, self.max_iters - self.epoch * self.epoch_length)
        # The last group of an epoch may be shorter; its gradients are averaged over what it has.
        start = self.position - self.position % self.training.accumulate
        end = min(start + self.training.accumulate, length)
        return end - start, self.position + 1 == end

    def _act_between_iterations(self) -> None:
        """Save, evaluate and stop where that is due."""
        # 1. What is due after this iteration.
        epoch_ends = self.by_epoch and self.position == 0
        number = self.iter % (self.checkpoints.interval * self.unit) == 0
        validate = self._validation_due()
        # 2. Processes agree on signals and overdue checkpoints: all act in the same iteration.
        overdue = time.monotonic() - self.checkpoints.saved_at > self.checkpoints.max_age
        request = self.signal.agree(save=overdue)
        self.stopped_by = request if request > SAVE else 0
        # 3. Every evaluation is preceded by a checkpoint, so that a crash in it costs nothing.
        if request or epoch_ends or number or validate:
            with self.log.paused():  # 4. not counted as training time
                self.checkpoints.save(self)
                if number:
                    self.checkpoints.number(self)
                if validate and not self.stopped_by:
                    self.validation.run(self)
                    self.model.train()

    def _validation_due(self) -> bool:
        last = self.iter >= self.max_iters or bool(self.stop_reason)
        due = last or self.iter % (self.training.val_interval * self.unit) == 0
        return self.validation is not None and due and self.iter > 0

    def _finish(self) -> None:
        if self.stopped_by:
            line = (
                f'stopped by signal {self.stopped_by} in epoch {self.epoch + 1} after '
                f'{self.position} of {self.epoch_length} iterations. Run the same command to '
                f'resume (or --resume-from {self.work_dir / LATEST})'
            )
        else:
            line = f'{self.stop_reason or "trained to the end"}: {self.checkpoints.finish(self)}'
        self.log.finish(self, line)
        if self.stopped_together:
            barrier()  # a launcher ends the others when the first process leaves
