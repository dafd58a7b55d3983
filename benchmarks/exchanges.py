"""What the processes of a training run send each other in a step, counted inside the run.

``benchmarks.scaling`` names this module in the config of its runs (``custom_imports``).
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.training import first_candidates
from hrdet.distributed import rank
from hrdet.engine import Hook
from hrdet.matching import RandomSampler
from hrdet.registry import register


class Exchanges(TorchDispatchMode):
    """Counts the collectives below it, DDP's own too, and the bytes that a process gives to them.

    ``calls`` and ``bytes`` go by name and kind of number ('allreduce_ float32'), ``sizes`` lists
    the bytes of every call in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.sizes: dict[str, list[int]] = {}

    def __torch_dispatch__(self, function, types, arguments=(), named=None) -> Any:
        if function.namespace == 'c10d':
            names = [a.name for a in function._schema.arguments]
            sent = next((i for i, name in enumerate(names) if name.startswith('input')), 0)
            tensors = [t for t in tree_leaves(arguments[sent]) if isinstance(t, torch.Tensor)]
            size = sum(t.numel() * t.element_size() for t in tensors)
            kind = f'{function._schema.name[6:]} {str(tensors[0].dtype)[6:]}'
            self.calls[kind] += 1
            self.bytes[kind] += size
            self.sizes.setdefault(kind, []).append(size)
        return function(*arguments, **(named or {}))


@register()
class CountExchanges(Hook):
    """Writes what ``Exchanges`` counts in one iteration, with the logging, to a file.

    So that runs with another number of processes can be compared, it also puts batches in the
    order of the data set, and lets samplers take the first candidates instead of drawing.
    """

    def __init__(self, path: str, iteration: int) -> None:
        self.path, self.iteration = Path(path), iteration

    def before_run(self, trainer) -> None:
        trainer.loader.batch_sampler.shuffle = False
        RandomSampler.sample = first_candidates

    def before_iteration(self, trainer, batch) -> None:
        if trainer.iter == self.iteration:
            self._exchanges = Exchanges()
            self._exchanges.__enter__()

    def after_iteration(self, trainer, batch, losses) -> None:
        if trainer.iter == self.iteration + 1:
            counted = self._exchanges
            counted.__exit__(None, None, None)
            if rank() == 0:
                counts = {k: [counted.calls[k], counted.bytes[k]] for k in sorted(counted.calls)}
                self.path.write_text(json.dumps({'kinds': counts, 'sizes': counted.sizes}))
