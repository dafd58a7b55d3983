"""Batches move between devices whole."""

import torch

from hrdet.structures import Batch, GroundTruth, ImageMeta


def test_batch_to_moves_every_tensor_and_keeps_the_rest():
    truth = GroundTruth(
        boxes=torch.zeros(1, 2, 4),
        labels=torch.zeros(1, 2, dtype=torch.long),
        ignored=torch.zeros(1, 0, 4),
        valid=torch.ones(1, 2, dtype=torch.bool),
        ignored_valid=torch.zeros(1, 0, dtype=torch.bool),
    )
    meta = ImageMeta('a.jpg', 1, (4, 4), (4, 4), (4, 4))
    batch = Batch(
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        [meta],
        torch.ones(1, 2),
        torch.ones(1, 2),
        truth,
    )
    moved = batch.to('meta')
    tensors = [moved.images, moved.input_sizes, moved.padded_sizes]
    tensors += [moved.truth.boxes, moved.truth.labels, moved.truth.valid, moved.truth.ignored]
    assert all(t.device.type == 'meta' for t in tensors)
    assert moved.metas == [meta]
    assert moved.truth.masks is None
    assert batch.images.device.type == 'cpu'
