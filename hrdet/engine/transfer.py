"""Batches on their way to the device while the one before is computed with."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from hrdet.structures import Batch


class Transfer:
    """Brings batches to a device; on CUDA by a stream of their own, from page-locked memory.

    A training step waits for nothing, so that the host comes here for the next batch while the
    device still computes; on the stream of the computation the copy would begin after it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == 'cuda' else None

    def __call__(self, batch: Batch) -> Batch:
        if self.stream is None:
            return batch.to(self.device)
        with torch.cuda.stream(self.stream):
            moved = batch.to(self.device, non_blocking=True)
        user = torch.cuda.current_stream(self.device)
        user.wait_stream(self.stream)  # kernels to come wait for the copies, the host does not
        for tensor in _tensors(moved):
            tensor.record_stream(user)  # its memory belongs to the other stream
        return moved


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
