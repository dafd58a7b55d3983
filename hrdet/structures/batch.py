"""The input of models: a batch of N images with their truth, for every task."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hrdet.structures.sample import ImageMeta


@dataclass(slots=True)
class Batch:
    """N images of one padded size, on one device.

    ``images`` (N, 3, H, W) uint8 BGR as loaded (the model normalises them).  ``input_sizes`` and
    ``padded_sizes`` (N, 2) float32 repeat those numbers of ``metas`` as (h, w) on the device, so
    that nothing in a training step has to cross from the host.
    """

    images: Tensor
    metas: list[ImageMeta]
    input_sizes: Tensor
    padded_sizes: Tensor
    truth: Any = None  # what the truths' ``collate`` returned
    proposals: Tensor | None = None  # (N, P, 5), rows of score -1 are padding

    def to(self, device: torch.device | str, non_blocking: bool = True) -> 'Batch':
        """The same batch on another device."""
        return map_tensors(self, lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> 'Batch':
        """The same batch in page-locked memory (called by torch's DataLoader)."""
        return map_tensors(self, lambda t: t.pin_memory())

    def part(self, images: slice) -> 'Batch':
        """The batch of some of its images."""
        return replace(map_tensors(self, lambda t: t[images]), metas=self.metas[images])


@dataclass(slots=True)
class Views:
    """The same N images augmented in several ways (scaled, flipped), for test-time augmentation."""

    batches: list[Batch]  # one for each view

    @property
    def metas(self) -> list[ImageMeta]:
        """The metas of the first view: all views agree on path, id and original size."""
        return self.batches[0].metas

    def to(self, device: torch.device | str, non_blocking: bool = True) -> 'Views':
        """The same views on another device."""
        return Views([batch.to(device, non_blocking) for batch in self.batches])

    def pin_memory(self) -> 'Views':
        """The same views in page-locked memory (called by torch's DataLoader)."""
        return Views([batch.pin_memory() for batch in self.batches])

    def part(self, images: slice) -> 'Views':
        """The views of some of the images."""
        return Views([batch.part(images) for batch in self.batches])


def map_tensors(value, function):
    changed = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, Tensor):
            changed[field.name] = function(item)
        elif is_dataclass(item):
            changed[field.name] = map_tensors(item, function)
    return replace(value, **changed)
