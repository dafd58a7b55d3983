"""What the processes of a run tell each other: small Python values and CPU tensors.

They travel between CPUs over gloo, also where gradients travel over NCCL: no process waits for a
GPU to exchange a number.  Every function works in a single process too, where it does nothing.
``hrdet.engine.launch`` starts the processes.
"""

from typing import Any

import torch
import torch.distributed as dist


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
    """Return when every process is here."""
    if world_size() > 1:
        dist.all_reduce(torch.zeros(1))


def all_reduce_mean(tensor: torch.Tensor) -> torch.Tensor:
    """The mean of a CPU tensor over all processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= world_size()
    return tensor
