"""Copy batches to the device on a stream of their own."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from hrdet import streams
from hrdet.structures import Batch


class Prefetcher:
    """Moves batches to a device; on CUDA through a side stream, from page-locked memory.

    No training step waits for the device, so the host asks for the next batch while the device
    still computes; on the compute stream the copy would start only after that.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = streams.new_stream(device) if device.type == 'cuda' else None

    def __call__(self, batch: Batch) -> Batch:
        if self.stream is None:
            return batch.to(self.device)
        # Asynchronous, since the batch lies in page-locked memory.
        with streams.on(self.stream):
            moved = batch.to(self.device, non_blocking=True)
        streams.join(self.stream, *_tensors(moved))  # later kernels wait, the host does not
        return moved


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors of nested dataclasses and lists."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
