"""Batches arrive whole; on CUDA (played by stand-ins) by their own stream, and are waited for."""

from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from hrdet.data.prefetch import Prefetcher
from tests.models import toy_batches

HOST = torch.device('cpu')


def tensors(batch):
    truth = batch.truth
    return [batch.images, batch.input_sizes, batch.padded_sizes, truth.boxes, truth.labels] + [
        truth.ignored,
        truth.masks,
        truth.semantic,
        truth.valid,
        truth.ignored_valid,
    ]


def test_on_the_host_nothing_is_copied():
    batch = toy_batches.batch()
    moved = Prefetcher(HOST)(batch)
    assert all(one is other for one, other in zip(tensors(moved), tensors(batch)))
    assert moved.metas == batch.metas


def test_the_computation_waits_for_the_copies_and_keeps_their_memory(monkeypatch):
    batch, transfer, told = toy_batches.batch(), Prefetcher(HOST), []

    class Stream:
        def wait_stream(self, other):
            told.append(('waits', self, other))

    computing, copying = Stream(), Stream()

    @contextmanager
    def stream(used):
        told.append(('begin', used))
        yield
        told.append(('end', used))

    def to(tensor, device, non_blocking):
        assert non_blocking
        told.append(('copy',))
        return tensor.clone()

    monkeypatch.setattr(torch.cuda, 'stream', stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: computing)
    monkeypatch.setattr(Tensor, 'to', to)
    monkeypatch.setattr(Tensor, 'record_stream', lambda t, s: told.append(('kept', t, s)))
    transfer.stream = copying
    moved = transfer(batch)
    count = len(tensors(batch))
    assert told[0] == ('begin', copying)
    assert told[1 : count + 1] == [('copy',)] * count
    assert told[count + 1 : count + 3] == [('end', copying), ('waits', computing, copying)]
    kept = told[count + 3 :]
    assert {id(tensor) for _, tensor, _ in kept} == set(map(id, tensors(moved)))
    assert all(stream is computing for *_, stream in kept)
    assert all(map(torch.equal, tensors(moved), tensors(batch)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_batches_of_a_busy_device_arrive_whole():
    """Many in a row, each read late, behind a long computation."""
    device = torch.device('cuda', torch.cuda.current_device())
    transfer, work, found = Prefetcher(device), torch.randn(4096, 4096, device=device), []
    batches = [toy_batches.batch(seed=seed) for seed in range(20)]
    for batch in batches:
        for _ in range(5):
            work = (work @ work).tanh()
        found.append(transfer(batch.pin_memory()).images.float().sum((1, 2, 3)))
    for batch, sums in zip(batches, found):
        assert torch.equal(sums.cpu(), batch.images.float().sum((1, 2, 3)))
