"""From the losses of elements to the one number that is trained."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss with its weight in the total; ``elements`` is what each kind defines."""

    loss_weight: float = 1.0

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The losses before weighting and summing."""
        raise NotImplementedError

    def __call__(
        self,
        prediction: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
    ) -> Tensor:
        """A scalar: the weighted sum over ``avg_factor``, or the mean of the weighted elements.

        Without elements it is 0, still connected to the prediction, so that every parameter gets a
        gradient.
        """
        # Half precision would lose the small terms of a long sum.
        prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
        loss = self.elements(prediction, target)
        if weight is not None:
            loss = loss * weight
        if avg_factor is None:
            avg_factor = max(loss.numel(), 1)
        return self.loss_weight * loss.sum() / avg_factor


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of ``values`` over all training processes; in a single one the values themselves.

    For divisors of losses, so that the average of all processes' gradients is that of one large
    batch.  No gradient flows through it.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return values
    mean = values.detach() / dist.get_world_size()
    dist.all_reduce(mean)
    return mean
