"""Batches arrive whole; on CUDA (played by stand-ins) by their own stream, and are waited for."""

import pytest
import torch
from torch import Tensor

from hrdet import streams
from hrdet.data.prefetch import Prefetcher
from tests.models import toy_batches
from tests.recording_streams import RecordingStreams, memory

HOST = torch.device('cpu')


@pytest.fixture
def recording(monkeypatch):
    return RecordingStreams(monkeypatch)


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


@pytest.fixture
def prefetcher(monkeypatch):
    """One of a device, which copies where a host would return the same tensor."""
    made = Prefetcher(HOST)
    made.stream = streams.new_stream(HOST)
    to = Tensor.to

    def copied(tensor, target, non_blocking=False):
        return tensor.clone() if non_blocking else to(tensor, target)

    monkeypatch.setattr(Tensor, 'to', copied)
    return made


def test_the_computation_waits_for_the_copies_and_keeps_their_memory(recording, prefetcher):
    batch = toy_batches.batch()
    with recording:
        moved = prefetcher(batch)
        for tensor in tensors(moved):
            tensor + 1
    assert set(recording.kept) == {memory(tensor) for tensor in tensors(moved)}
    assert all(map(torch.equal, tensors(moved), tensors(batch)))


def test_the_stand_in_finds_a_copy_that_is_not_waited_for(recording, prefetcher, monkeypatch):
    batch = toy_batches.batch()
    monkeypatch.setattr(streams, 'join', lambda *_: None)
    with recording, pytest.raises(AssertionError, match='main does not wait for side'):
        prefetcher(batch).images + 1


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
