"""Exponential moving average (EMA) of the weights, which evaluation and checkpoints use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """Averages parameters and buffers; evaluation and checkpoints use the average.

    ``average += weight * (model - average)`` after every optimizer step.  ``weight`` falls from 1
    as ``10 / (10 + steps)`` to ``momentum``, so that short runs average over a tenth of their
    length (Polyak and Juditsky 1992; the warm-up is TensorFlow's).  In a checkpoint ``state_dict``
    is the average, and ``ema`` holds the weights that training continues from.

    Args:
        model: without a DistributedDataParallel wrapper, on its device.
        momentum: the final weight of the newest model.
    """

    def __init__(self, model: nn.Module, momentum: float = 0.0002) -> None:
        self.model = model
        self.momentum = momentum
        self.restart()

    def restart(self, checkpoint: dict[str, Any] | None = None) -> None:
        """Average from the model's weights on, or from the state in a checkpoint."""
        self.steps, self.average = 0, self._copy()
        if checkpoint and 'ema' in checkpoint:
            self.steps = checkpoint['ema']['steps']
            for name, value in self.average.items():
                value.copy_(checkpoint['state_dict'][name])

    def update(self) -> None:
        """Average in the model as it is after an optimizer step."""
        self.steps += 1
        weight = max(self.momentum, 10 / (10 + self.steps))
        # All tensors in a few kernel launches.
        torch._foreach_lerp_(list(self.average.values()), list(self._live().values()), weight)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Within the context the model holds the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def add_to(self, checkpoint: dict[str, Any]) -> None:
        """Replace the weights in a checkpoint by their average; keep the weights under ``ema``."""
        # The average takes the place of the weights, which a resumed run finds under ``ema``.
        weights = checkpoint['state_dict']
        if 'optimizer' in checkpoint:
            training = {name: weights[name] for name in self.average}
            checkpoint['ema'] = dict(steps=self.steps, training=training)
        weights.update({name: value.cpu() for name, value in self.average.items()})

    def _live(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.model.state_dict().items() if v.is_floating_point()}

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._live().items()}

    def _swap(self) -> None:
        # Copy in place: the parameters stay the same tensors, which the optimizer and DDP refer to.
        live = self._live()
        held = self._copy()
        torch._foreach_copy_(list(live.values()), list(self.average.values()))
        self.average = held
