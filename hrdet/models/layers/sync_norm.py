"""SyncBN: batch norm over the images of all processes, one all-reduce forward, one backward.

C channels, W processes.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the images of all processes, whose number and size may differ.

    In a single process it is plain batch norm, so that one config serves a laptop and a cluster.
    torch's own layer runs on CUDA only, and in every forward it waits for the device to learn which
    processes had images at all; here nothing waits, and a process without any has the weight 0.
    This class does not derive from torch's, which DDP refuses on the CPU.

    ``statistics_source`` replaces ``joint_statistics`` while activations are recomputed.
    """

    statistics_source: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        # 1. Mean and variance (C,) over all processes, which move the running statistics.
        mean, var, counts = (self.statistics_source or self.joint_statistics)(x)
        if self.track_running_stats:
            count = counts.sum()
            with torch.no_grad():
                self.num_batches_tracked += 1
                unbiased = var * count / (count - 1).clamp(min=1)
                part = self.momentum
                if part is None:  # the mean of all batches so far
                    part = mean.new_ones(()) / self.num_batches_tracked
                self.running_mean.lerp_(mean, part)
                self.running_var.lerp_(unbiased, part)
        # 2. Normalise; the gradient flows through the statistics of all processes.
        inverse = torch.rsqrt(var + self.eps)
        return JointNorm.apply(x, self.weight, self.bias, mean, inverse, counts)

    @torch.no_grad()
    def joint_statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance (C,) over all processes, and how many values each has (W,); float32.

        Each process sends mean, variance and count: 2C + 1 numbers, in a row of its own.  They are
        merged by Chan et al.'s formula (1979), which does not cancel as E[x^2] - E[x]^2 does.
        """
        # 1. One row of each process, the others 0: a sum gathers them, (W, 2C + 1).
        own = _own_statistics(x, self.eps)
        every = own.new_zeros(dist.get_world_size(), len(own))
        every[dist.get_rank()] = own
        dist.all_reduce(every)
        # 2. Merged by each process's share of the values (W, 1).
        means, variances, counts = every.tensor_split((x.shape[1], 2 * x.shape[1]), 1)
        share = counts / counts.sum().clamp(min=1)
        mean = (means * share).sum(0)
        var = ((variances + (means - mean).square()) * share).sum(0)
        return mean, var, counts[:, 0]

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() != 4:
            raise ValueError(f'maps have four dimensions (N, C, h, w), not {x.dim()}')


class JointNorm(torch.autograd.Function):
    """Normalisation by statistics that depend on the ``x`` of all processes.

    Equation of the backward: Ioffe and Szegedy 2015, section 3, with sums over all processes.
    The gradients of ``weight`` and ``bias`` are this process's share, as DDP expects them.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, inverse, counts):
        ctx.save_for_backward(x, weight, mean, inverse, counts)
        if _has_kernels(x):
            return torch.batch_norm_elemt(x, weight, bias, mean, inverse, 0.0)  # eps is inside
        gain = weight * inverse
        return torch.addcmul(_maps(bias - mean * gain), x, _maps(gain)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, mean, inverse, counts = ctx.saved_tensors
        grad = grad.contiguous(memory_format=_memory_format(x))
        # 1. Sums of this process (C,), then of all of them in one all-reduce (2C,).
        of_grad, of_product = _own_sums(grad, x, weight, mean, inverse)
        sums = torch.cat([of_grad, of_product])
        dist.all_reduce(sums)
        # 2. The input's gradient needs the joint sums, weight and bias get this process's.
        x_grad = _input_gradient(grad, x, weight, mean, inverse, sums, counts)
        return x_grad, of_product * inverse, of_grad, None, None, None


def _has_kernels(x: Tensor) -> bool:
    """Whether torch's own kernels accept ``x``: on CUDA, and not empty."""
    return x.is_cuda and x.numel() > 0


def _memory_format(x: Tensor) -> torch.memory_format:
    rows_last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if rows_last else torch.contiguous_format


def _maps(values: Tensor) -> Tensor:
    """(C,) as (C, 1, 1), which broadcasts against maps (N, C, h, w)."""
    return values[:, None, None]


def _own_statistics(x: Tensor, eps: float) -> Tensor:
    """Mean, variance and count of this process's maps: (2C + 1,), 0 where there are none."""
    # torch's kernel returns 1 / sqrt(var + eps), from which the variance is recovered.
    count = x.numel() // x.shape[1]
    if _has_kernels(x):
        mean, inverse = torch.batch_norm_stats(x, eps)  # inverse = 1 / sqrt(var + eps)
        var = inverse.pow(-2) - eps
    else:
        values = _accurate(x)
        mean = values.sum((0, 2, 3)) / max(1, count)
        var = (values - _maps(mean)).square().sum((0, 2, 3)) / max(1, count)
    return torch.cat([mean, var, mean.new_full((1,), count)])


def _own_sums(grad, x, weight, mean, inverse) -> tuple[Tensor, Tensor]:
    """Over this process's maps: the sums of ``grad`` and of ``grad * (x - mean)``, (C,) each."""
    if _has_kernels(x):
        needed = True, False, False
        return torch.batch_norm_backward_reduce(grad, x, mean, inverse, weight, *needed)[:2]
    grad = _accurate(grad)
    return grad.sum((0, 2, 3)), (grad * (x - _maps(mean))).sum((0, 2, 3))


def _input_gradient(grad, x, weight, mean, inverse, sums, counts) -> Tensor:
    of_grad, of_product = sums.chunk(2)
    if _has_kernels(x):
        return torch.batch_norm_backward_elemt(
            grad, x, mean, inverse, weight, of_grad, of_product, counts.int()
        )
    # The gradient is affine in grad and x: grad * gain + x * slope + shift, (C,) each.
    count = counts.sum().clamp(min=1)
    gain = weight * inverse
    slope = -gain * inverse.square() * of_product / count
    shift = -gain * of_grad / count - slope * mean
    return torch.addcmul(torch.addcmul(_maps(shift), x, _maps(slope)), grad, _maps(gain)).to(
        x.dtype
    )


def _accurate(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
