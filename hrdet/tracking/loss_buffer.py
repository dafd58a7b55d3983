"""Losses of recent iterations, read back from the device once a log interval."""

import math

import torch
from torch import Tensor

from hrdet.distributed import all_reduce_mean, broadcast_object, gather_objects
from hrdet.structures import Batch


class NonFiniteLoss(RuntimeError):
    """A loss became infinite or not a number; the message names iteration and images."""


class LossBuffer:
    """Keeps the losses of every iteration on the device until they are read.

    ``add`` costs one small kernel and no synchronisation.  ``check`` copies what is new to the host
    in one transfer, averages it over the processes, and raises on the first non-finite loss, on all
    processes together.
    """

    def __init__(self) -> None:
        self._new: list[Tensor] = []  # (number of losses,) each, on the device
        self._paths: list[list[str]] = []  # image files of those iterations
        self._names: tuple[str, ...] = ()
        self._checked: list[dict[str, float]] = []
        self._iteration = 0  # global number of the first entry of _new

    def add(self, iteration: int, losses: dict[str, Tensor], batch: Batch) -> None:
        """Remember the scalar losses of one iteration (numbered from 0)."""
        if not self._new:
            self._iteration = iteration
        self._names = tuple(losses)
        self._new.append(torch.stack([loss.float() for loss in losses.values()]))
        self._paths.append([str(meta.path) for meta in batch.metas])

    def check(self) -> None:
        """Read the new entries back; raises NonFiniteLoss."""
        if not self._new:
            return
        rows = all_reduce_mean(torch.stack(self._new).cpu()).tolist()
        for i, row in enumerate(rows):
            losses = dict(zip(self._names, row))
            if not all(map(math.isfinite, row)):
                shares = broadcast_object(gather_objects(self._paths[i]))
                images = [path for share in shares for path in share]
                raise NonFiniteLoss(_message(self._iteration + i, losses, images))
            self._checked.append(losses)
        self._new.clear()
        self._paths.clear()

    def take(self) -> dict[str, float]:
        """Mean of every loss since the last ``take``, checked."""
        self.check()
        rows, self._checked = self._checked, []
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _message(iteration: int, losses: dict[str, float], images: list[str]) -> str:
    values = ', '.join(f'{name}={value:.4g}' for name, value in losses.items())
    return '\n  '.join(
        [f'the loss is not finite at iteration {iteration + 1}: {values}. Images of that batch:']
        + images
    ) + (
        '\nUsual causes: a learning rate too high for the batch, no gradient clipping '
        "(optimizer_config=dict(grad_clip=dict(max_norm=35))), fp16 (amp='bfloat16' has float32's "
        'range), or boxes that tools/check_dataset.py reports'
    )
