"""mmengine's Runner, with hrdet's checkpoints, devices and learning-rate scaling.

mmengine supplies the hooks and their order, the schedules, the logger and the visualizers; what
happens in a training step, and what a checkpoint holds, is in this package.
"""

import inspect
import os
import warnings
from pathlib import Path
from typing import Any

import mmengine.runner
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hrdet
from hrdet.checkpoints import CheckpointError, load_checkpoint, read_checkpoint, save_checkpoint
from hrdet.distributed import barrier, rank, world_size
from hrdet.engine.loss_record import NonFiniteLoss
from hrdet.engine.resumption import restore
from hrdet.ops.malloc import keep_memory
from hrdet.wording import counted


class Runner(mmengine.runner.Runner):
    """The engine of one run: a model, its loops, its optimizer, its hooks.

    Args:
        device: where the model and the batches go.
        about: plain values that go into every checkpoint's ``meta`` (classes, config text, ...).
        arguments: mmengine's, with live objects.
    """

    def __init__(self, device: torch.device, about: dict[str, Any], **arguments: Any) -> None:
        self.device = device
        self.about = about
        super().__init__(**arguments)

    @property
    def bare_model(self) -> nn.Module:
        """The model without its wrapper."""
        model = self.model
        return model.module if isinstance(model, DistributedDataParallel) else model

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to its device; several processes share gradients through DDP."""
        model = model.to(self.device)
        if not self.distributed:
            return model
        accepted = inspect.signature(DistributedDataParallel).parameters
        no_exchange = 'forward_sync_buffers'  # of buffers in every forward; its name from 2.13 on
        return DistributedDataParallel(
            model,
            device_ids=[self.device.index] if self.device.type == 'cuda' else None,
            gradient_as_bucket_view=True,
            **{no_exchange if no_exchange in accepted else 'broadcast_buffers': False},
        )

    def train(self) -> nn.Module:
        """Build what is missing, load or resume, and run the training loop."""
        if self.device.type == 'cpu':
            keep_memory()
        self._train_loop = self.build_train_loop(self._train_loop)
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        self.scale_lr(self.optim_wrapper, self.auto_scale_lr)
        self.param_schedulers = self.build_param_scheduler(self.param_schedulers or [])
        # With accumulation a schedule by iterations does step before the first optimizer step.
        warnings.filterwarnings('ignore', 'Detected call of `scheduler.step', UserWarning)
        if self._val_loop is not None:
            self._val_loop = self.build_val_loop(self._val_loop)
        self.call_hook('before_run')
        try:
            self.load_or_resume()
            self.train_loop.run()
            barrier()  # a launcher ends the others when the first process leaves
        finally:
            self.call_hook('after_run')
        return self.model

    def test(self) -> dict[str, float]:
        """Predict and evaluate the test set once."""
        self._test_loop = self.build_test_loop(self._test_loop)
        self.call_hook('before_run')
        try:
            return self.test_loop.run()
        finally:
            self.call_hook('after_run')

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        """Learning rate times the actual batch over the one that the config declares for it."""
        if not auto_scale_lr or not auto_scale_lr.get('base_batch_size'):
            return
        per_process = self.train_dataloader.batch_sampler.batch_size
        accumulate = optim_wrapper._accumulative_counts
        actual = world_size() * per_process * accumulate
        base = auto_scale_lr['base_batch_size']
        lr = optim_wrapper.optimizer.param_groups[0]['lr']
        told = (
            f'{_processes()} x {counted(per_process, "image")} x {accumulate} accumulated = '
            f'{counted(actual, "image")} a step; the config declares lr {lr:g} for {base}'
        )
        if actual == base or not auto_scale_lr.get('enable', True):
            self.logger.info(f'{told}: taken as it is')
            return
        for group in optim_wrapper.param_groups:
            group['lr'] *= actual / base
        self.logger.info(
            f'{told}: scaled to {lr * actual / base:g} (--no-auto-scale-lr to keep {lr:g})'
        )

    def sync_buffers(self) -> None:
        """Give every process process 0's running statistics, those that are saved and tested."""
        if self.distributed:
            for buffer in self.bare_model.buffers():
                dist.broadcast(buffer, src=0)

    def save_checkpoint(
        self, out_dir: str, filename: str, save_optimizer: bool = True, **_: Any
    ) -> Path:
        """Write what resuming needs, from process 0; called on every process.

        mmengine's other options mean nothing here.

        Raises:
            NonFiniteLoss: a loss since the last check, or a weight, is not finite (on every
                process); nothing is written.
        """
        self.train_loop.losses.check()
        self.sync_buffers()
        weights = _on_cpu(self.bare_model.state_dict())
        for name, value in weights.items():
            if not value.isfinite().all():
                raise NonFiniteLoss(f'{name} is not finite after the last step')
        path = Path(out_dir) / filename
        if rank() > 0:
            return path
        meta = dict(
            self.about,
            hrdet_version=hrdet.__version__,
            seed=self.seed,
            world_size=world_size(),
            **self.train_loop.state(),
        )
        checkpoint: dict[str, Any] = dict(state_dict=weights, meta=meta)
        if save_optimizer:
            checkpoint['optimizer'] = _on_cpu(self.optim_wrapper.state_dict())
            checkpoint['param_schedulers'] = [_plain(s) for s in self.param_schedulers]
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        save_checkpoint(path, checkpoint)
        return path

    def load_checkpoint(self, filename: str | os.PathLike, *_: Any, **__: Any) -> dict[str, Any]:
        """Start from a checkpoint's weights; class layers of another size stay as they are.

        Raises:
            CheckpointError: anything else does not fit.
        """
        checkpoint = read_checkpoint(filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        try:
            report = load_checkpoint(
                self.bare_model, checkpoint, other_classes=True, name=str(filename)
            )
        except CheckpointError as error:
            raise CheckpointError(
                f'{error}\nload_from= starts from the weights of the same model, whose classes '
                f'may be others; to take the backbone alone, name the file in model.pretrained'
            ) from None
        self.logger.info(f'{report}')
        return checkpoint

    def resume(self, filename: str | os.PathLike, *_: Any, **__: Any) -> None:
        """Continue the run that wrote ``filename``, from the iteration after its last.

        Raises:
            CheckpointError: the file cannot be resumed from (weights only, another model, batch
                size, number of processes, kind of optimizer, ...).
        """
        checkpoint = read_checkpoint(filename)
        if 'optimizer' not in checkpoint or 'position' not in checkpoint['meta']:
            raise CheckpointError(
                f'{filename}: holds no optimizer state of an hrdet run, so that training cannot '
                f'resume from it; start from its weights with load_from='
            )
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_checkpoint(self.bare_model, checkpoint)
        try:
            self.train_loop.resume(checkpoint['meta'])
            differences = restore(self.optim_wrapper, self.param_schedulers, checkpoint)
        except ValueError as error:
            raise CheckpointError(
                f'{filename}: training cannot resume from it: {error}. Resume with the settings '
                f'that it was written with, or start a new run with --no-auto-resume in another '
                f'work_dir, from these weights with load_from='
            ) from error
        if differences:
            told = '; '.join(f'{k}: {old}, not {new}' for k, (old, new) in differences.items())
            self.logger.warning(
                f'{filename}: the schedule and optimizer settings of the checkpoint are used, not '
                f'those of the config ({told}). To train with the changed ones, start a new '
                f'schedule from these weights with load_from='
            )
        self._has_loaded = True
        loop = self.train_loop
        self.logger.info(
            f'resumed from {filename}: epoch {loop.epoch + 1}, iteration {loop.position + 1} '
            f'of {loop.epoch_length} comes next'
        )

    def dump_config(self) -> None:
        """The config goes beside the checkpoints of a training run."""
        if self._train_loop is not None:
            super().dump_config()

    def build_logger(self, *arguments: Any, **options: Any) -> Any:
        """mmengine's logger under our name."""
        return super().build_logger(*arguments, logger_name='hrdet', **options)

    def _log_env(self, env_cfg: dict) -> None:
        name = torch.cuda.get_device_name(self.device) if self.device.type == 'cuda' else 'CPU'
        self.logger.info(
            f'hrdet {hrdet.__version__}, torch {torch.__version__}, {_processes()} on {name}, '
            f'{counted(torch.get_num_threads(), "CPU thread")} each, seed {self.seed}, '
            f'work_dir {self.work_dir}'
        )

    def get_hooks_info(self) -> str:
        """The hooks' names in the order in which they run."""
        return ', '.join(type(hook).__name__ for hook in self.hooks) or 'none'


def _processes() -> str:
    return counted(world_size(), 'process', 'processes')


def _on_cpu(value: Any) -> Any:
    """Nested dicts and lists with their tensors detached, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(item) for item in value)
    return value


def _plain(scheduler: Any) -> dict[str, Any]:
    """A scheduler's state; the milestones' Counter as a dict."""
    state = scheduler.state_dict()
    return {key: dict(value) if isinstance(value, dict) else value for key, value in state.items()}
