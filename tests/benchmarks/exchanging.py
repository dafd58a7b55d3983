"""What the processes of ``test_scaling`` do; a new process imports it from here."""

import json
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.exchanges import Exchanges
from hrdet import distributed
from hrdet.engine import launch


def step(path: str) -> None:
    """A training step of a linear layer, then a mean and a gathering; rank 0 writes the counts."""
    torch.set_num_threads(1)
    launch.start('pytorch', force_cpu=True)
    model = DistributedDataParallel(nn.Linear(3, 5))
    with Exchanges() as counted:
        model(torch.ones(2, 3)).sum().backward()
        distributed.all_reduce_mean(torch.ones(1))
        dist.all_gather([torch.zeros(3, dtype=torch.int64) for _ in '12'], torch.arange(3))
    if distributed.rank() == 0:
        Path(path).write_text(json.dumps([counted.calls, counted.sizes]))
    del model
    launch.stop()


def read(path: Path) -> list[dict]:
    """Calls and sizes by kind."""
    return json.loads(path.read_text())
