"""Communication between the processes of a run: small Python values and CPU tensors.

They are sent over gloo, even if gradients are sent over NCCL, so that no process waits for its GPU
to exchange a number.  In a single process these functions return their arguments unchanged.
``hrdet.engine.launch`` starts the processes.
"""

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def broadcast_object(value: Any) -> Any:
    """Rank 0's value, on every process (plain Python objects)."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device('cpu'))
    return box[0]


def gather_objects(value: Any) -> list[Any] | None:
    """The values of all processes, by rank, as a list on rank 0; None elsewhere."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size() if rank() == 0 else None
    dist.gather_object(value, values, dst=0)
    return values


def barrier() -> None:
    """Wait until every process has called it."""
    if world_size() > 1:
        dist.all_reduce(torch.zeros(1))


def all_reduce_mean(tensor: torch.Tensor) -> torch.Tensor:
    """The mean of a CPU tensor over all processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= world_size()
    return tensor


def on_rank_0(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function on rank 0 only; every process gets its result, or its error."""
    result = error = None
    if rank() == 0:
        try:
            result = function(*arguments)
        except Exception as caught:
            error = caught
    result, error = broadcast_object((result, error))
    if error is not None:
        raise error
    return result


def data_parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """The model as every process calls it: with several, DDP averages the gradients."""
    if world_size() == 1:
        return model
    accepted = inspect.signature(DistributedDataParallel).parameters
    # Buffers are not broadcast in every forward, but by ``broadcast_buffers`` when they are needed.
    no_exchange = 'forward_sync_buffers'  # the name of broadcast_buffers from torch 2.13 on
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == 'cuda' else None,
        gradient_as_bucket_view=True,
        **{no_exchange if no_exchange in accepted else 'broadcast_buffers': False},
    )


def broadcast_buffers(model: nn.Module) -> None:
    """Give every process rank 0's running statistics, which are evaluated and saved."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def seed_everything(seed: int, iteration: int) -> None:
    """Seed torch (CPU and GPUs), numpy and random for one iteration.

    The state of the generators need not be saved: a resumed run draws the same numbers as an
    uninterrupted one.
    """
    words = np.random.SeedSequence((seed, rank(), iteration)).generate_state(4)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2])  # noqa: NPY002 - what transforms of users may draw from
    random.seed(int(words[3]))
