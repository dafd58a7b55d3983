"""The loader: same batches whatever the workers, batches that need no copy."""

import logging
import os
import signal
from dataclasses import fields, is_dataclass

import cv2
import pytest
import torch
from torch.utils.data import DataLoader

from hrdet.data import (
    CocoDataset,
    DataError,
    Pad,
    PhotoMetricDistortion,
    RandomFlip,
    Resize,
    build_loader,
    collate,
    loader,
)
from hrdet.data.shapes import make_shapes


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    return make_shapes(str(tmp_path_factory.mktemp('shapes')), 12, 5, (64, 96))


def load(shapes, *more):
    transforms = [PhotoMetricDistortion(), Resize([(90, 60), (72, 48)]), RandomFlip(), Pad(32)]
    return CocoDataset(shapes.train_ann, shapes.train_images, [*transforms, *more], with_mask=True)


def epoch(loader, number):
    loader.batch_sampler.set_epoch(number)
    return list(loader)


def same(a, b):
    pairs = [
        (a.images, b.images),
        (a.truth.boxes, b.truth.boxes),
        (a.truth.masks, b.truth.masks),
        (a.padded_sizes, b.padded_sizes),
    ]
    return a.metas == b.metas and all(torch.equal(x, y) for x, y in pairs)


def test_batches_do_not_depend_on_workers(shapes):
    alone = build_loader(load(shapes), 3, num_workers=0, seed=4, pad_size=(96, 64))
    first, second = epoch(alone, 0), epoch(alone, 1)
    shared = build_loader(load(shapes), 3, num_workers=2, seed=4, pad_size=(96, 64))
    assert all(same(a, b) for a, b in zip(epoch(shared, 0), first, strict=True))
    assert all(same(a, b) for a, b in zip(epoch(shared, 1), second, strict=True))
    assert not all(same(a, b) for a, b in zip(first, second))
    assert {tuple(batch.images.shape) for batch in first} == {(3, 3, 64, 96)}
    # Continued in the middle of epoch 1, with the same workers.
    shared.batch_sampler.set_epoch(1)
    shared.batch_sampler.skip(2)
    assert all(same(a, b) for a, b in zip(shared, second[2:], strict=True))


def test_workers_write_into_shared_memory(shapes):
    def is_shared(samples):
        batch = collate(samples)
        return batch.images.is_shared() and batch.truth.masks.bits.is_shared()

    loader = DataLoader(load(shapes), batch_size=3, num_workers=1, collate_fn=is_shared)
    assert list(loader) == [True] * 4
    for batch in build_loader(load(shapes), 3, num_workers=1):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_masks_travel_as_bits(shapes):
    """At 800 x 1344 pixels a dozen objects an image would fill the 64 MB that Docker gives."""

    def shared_bytes(samples):
        batch = collate(samples)
        pixels = batch.images[:, 0].numel()
        return batch.truth.masks.bits.numel() / (pixels * batch.truth.boxes.shape[1])

    loader = DataLoader(load(shapes), batch_size=3, num_workers=1, collate_fn=shared_bytes)
    assert max(loader) == 1 / 8
    plain = build_loader(load(shapes), 3, num_workers=0, seed=4, pad_size=(99, 67))
    sent = build_loader(load(shapes), 3, num_workers=1, seed=4, pad_size=(99, 67))
    for batch, expected in zip(sent, plain, strict=True):
        assert batch.truth.masks.dtype == torch.uint8
        assert batch.truth.masks.any()
        assert torch.equal(batch.truth.masks, expected.truth.masks)


def test_one_thread_for_each_worker(shapes):
    def check(sample, rng):
        if torch.utils.data.get_worker_info() is not None:
            assert cv2.getNumThreads() == 1
            assert torch.get_num_threads() == 1
        return sample

    assert len(list(build_loader(load(shapes, check), 4, num_workers=2))) == 3


def test_workers_keep_some_memory(shapes, monkeypatch):
    told = []
    monkeypatch.setattr(loader, 'keep_memory', told.append)

    def check(sample, rng):
        assert told == [loader.KEPT]
        return sample

    assert len(list(build_loader(load(shapes, check), 4, num_workers=2))) == 3
    assert told == []  # here nothing has changed


def test_testing_goes_through_in_order(shapes):
    dataset = CocoDataset(shapes.val_ann, shapes.val_images, [Resize((96, 64))], test_mode=True)
    parts = [
        build_loader(dataset, 2, num_workers=0, training=False, rank=rank, world_size=2)
        for rank in range(2)
    ]
    ids = [meta.image_id for part in parts for batch in part for meta in batch.metas]
    assert ids == dataset.image_ids == [1, 2, 3, 4, 5]


def test_pad_size_is_checked_before_the_first_batch(shapes):
    with pytest.raises(DataError, match=r'pad_size=\(90, 60\) is too small'):
        build_loader(load(shapes), 3, pad_size=(90, 60))


def test_no_more_workers_than_cores(shapes, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger('hrdet'), 'propagate', True)
    caplog.set_level(logging.INFO, logger='hrdet')
    monkeypatch.setattr('os.cpu_count', lambda: 1)
    assert build_loader(load(shapes), 1, num_workers=5).num_workers == 1
    assert caplog.messages == ['loader workers: 1 instead of 5, one for each core']


def test_all_of_a_batch_is_in_shared_memory_before_it_is_sent(shapes):
    """What is not would be moved there by a thread of the queue, which drops what does not fit."""

    def tensors(value):
        for field in fields(value):
            item = getattr(value, field.name)
            yield from [item] if isinstance(item, torch.Tensor) else ()
            yield from tensors(item) if is_dataclass(item) else ()

    def shared(samples):
        return [t.is_shared() for t in tensors(collate(samples)) if t.numel()]

    loader = DataLoader(load(shapes), batch_size=3, num_workers=1, collate_fn=shared)
    assert all(len(flags) > 5 and all(flags) for flags in loader)


class Unsendable(CocoDataset):
    def __getitem__(self, key):
        sample = super().__getitem__(key)
        sample.meta.path = lambda: None  # which no queue takes
        return sample


def test_a_batch_that_cannot_be_sent_ends_its_worker(shapes):
    """torch's queue drops it, and whoever waits for the batch waits for ever."""
    dataset = Unsendable(shapes.train_ann, shapes.train_images, [Resize((96, 64))])
    signal.alarm(60)  # against a hang only
    try:
        with pytest.raises(RuntimeError, match=r'DataLoader worker .* exited unexpectedly'):
            list(build_loader(dataset, 2, num_workers=1))
    finally:
        signal.alarm(0)


def test_a_worker_that_died_is_told_where_a_batch_is_waited_for(shapes):
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(build_loader(load(shapes), 1, num_workers=1))
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) == before  # torch's would raise anywhere
    os.kill(batches._workers[0].pid, signal.SIGKILL)
    batches._workers[0].join()
    with pytest.raises(RuntimeError, match='DataLoader worker'):
        list(batches)
