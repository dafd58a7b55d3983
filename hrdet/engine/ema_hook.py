"""An exponential moving average of the weights, tested and published in their place."""

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor


class EMAHook(Hook):
    """Averages parameters and buffers; validation and checkpoints hold the average.

    ``average += weight * (model - average)`` after every optimizer step, with ``weight`` falling
    from 1 as ``10 / (10 + steps)`` to ``momentum``, so that short runs are averaged over a tenth of
    their length (Polyak and Juditsky 1992; the warm-up is TensorFlow's).  A checkpoint's
    ``state_dict`` is the average, and ``ema`` holds the weights that training goes on from.

    Args:
        momentum: the final weight of the newest model.
    """

    priority = 'NORMAL'

    def __init__(self, momentum: float = 0.0002) -> None:
        self.momentum = momentum
        self.steps = 0

    def before_run(self, runner) -> None:
        self._model = runner.bare_model

    def before_train(self, runner) -> None:
        if self.steps == 0:
            self._average = self._copy()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.optim_wrapper.should_update():
            self.steps += 1
            weight = max(self.momentum, 10 / (10 + self.steps))
            torch._foreach_lerp_(list(self._average.values()), list(self._live().values()), weight)

    def before_val_epoch(self, runner) -> None:
        self._swap()
        runner.sync_buffers()

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._swap()

    def before_save_checkpoint(self, runner, checkpoint: dict[str, Any]) -> None:
        weights = checkpoint['state_dict']
        if 'optimizer' in checkpoint:
            training = {name: weights[name] for name in self._average}
            checkpoint['ema'] = dict(steps=self.steps, training=training)
        weights.update({name: value.cpu() for name, value in self._average.items()})

    def after_load_checkpoint(self, runner, checkpoint: dict[str, Any]) -> None:
        """Put the trained weights in place for training to go on from."""
        if runner._resume and 'ema' in checkpoint:
            weights, ema = checkpoint['state_dict'], checkpoint['ema']
            self.steps = ema['steps']
            self._average = {k: weights[k].to(runner.device) for k in ema['training']}
            weights.update(ema['training'])

    def _live(self) -> dict[str, Tensor]:
        return {k: v for k, v in self._model.state_dict().items() if v.is_floating_point()}

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._live().items()}

    def _swap(self) -> None:
        live = self._live()
        held = self._copy()
        torch._foreach_copy_(list(live.values()), list(self._average.values()))
        self._average = held
