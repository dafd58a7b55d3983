"""Batches move between devices whole."""

import torch

from hrdet.structures import Batch, GroundTruth, ImageMeta, Views


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


def test_part_of_a_batch():
    """Rows of every tensor with their metas, in each of several views."""
    metas = [ImageMeta(f'{i}.jpg', i, (4, 4), (4, 4), (4, 4)) for i in range(3)]
    rows = torch.arange(3)
    sizes = rows.float()[:, None].expand(3, 2)
    images = rows.to(torch.uint8)[:, None, None, None].expand(3, 3, 4, 4)
    truth = GroundTruth(sizes[:, None].repeat(1, 1, 2), rows[:, None], torch.zeros(3, 0, 4))
    batch = Batch(images, metas, sizes, sizes, truth)
    for part in (batch.part(slice(1, 5)), Views([batch, batch]).part(slice(1, 5)).batches[1]):
        assert part.metas == metas[1:]
        tensors = [part.images, part.input_sizes, part.padded_sizes]
        for values in [*tensors, part.truth.boxes, part.truth.labels]:
            assert values.flatten(1)[:, 0].tolist() == [1, 2]
        assert part.truth.ignored.shape == (2, 0, 4)
    assert len(batch.metas) == 3
