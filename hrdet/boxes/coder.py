"""Encoding of boxes as deltas from other boxes (Girshick et al., R-CNN, 2014, appendix C)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hrdet.ranges import Number, Positive
from hrdet.registry import register


@register()
class DeltaCoder(nn.Module):
    """Shift of the centre in units of the box size, logarithm of the change of size; normalised.

    Args:
        means, stds: of dx, dy, dw, dh; a delta is ``(raw - mean) / std``.
        max_ratio: decoding changes a width or height by this factor, or its inverse, at most.
    """

    def __init__(
        self,
        means: Sequence[Number] = (0.0, 0.0, 0.0, 0.0),
        stds: Sequence[Positive] = (1.0, 1.0, 1.0, 1.0),
        max_ratio: Positive = 16 / 1000,
    ) -> None:
        super().__init__()
        if len(means) != 4 or len(stds) != 4 or max(map(abs, [*means, *stds])) > 1000:
            raise ValueError(f'target_means, target_stds: 4 numbers to 1000, not {means}, {stds}')
        self.means, self.stds = tuple(map(float, means)), tuple(map(float, stds))
        for name, values in (('mean', self.means), ('std', self.stds)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        self.limit = abs(math.log(max_ratio))

    def encode(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Deltas (..., 4) that move ``boxes`` (..., 4) to ``targets`` (..., 4).

        A target without width or height, as padding has, gives infinite deltas; a box without them
        gives infinite or undefined ones.
        """
        # 1. Sizes and the shift between centres, (..., 2) each as (x, y).
        size, target_size = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
        shift = (targets[..., :2] + targets[..., 2:] - boxes[..., :2] - boxes[..., 2:]) / 2
        # 2. dx, dy, dw, dh, normalised.
        deltas = torch.cat([shift / size, (target_size / size).log()], -1)
        return (deltas - self.mean) / self.std

    def decode(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """Boxes (..., 4) moved by ``deltas`` (..., 4); the two broadcast.  Not clipped.

        Several deltas for each box, as of a head with a box per class, come as (..., C, 4) with
        boxes (..., 1, 4).
        """
        # 1. The centre moves by dx, dy times the size: (..., 2) as (x, y).
        deltas = deltas * self.std + self.mean
        size = boxes[..., 2:] - boxes[..., :2]
        centre = boxes[..., :2] + size / 2 + deltas[..., :2] * size
        # 2. Half of the new size; the limit keeps exp from overflowing.
        half = deltas[..., 2:].clamp(-self.limit, self.limit).exp() * size / 2
        return torch.cat([centre - half, centre + half], -1)
