"""CUDA graphs without a GPU: what is recorded, on which streams, and for which shapes."""

import contextlib
import copy

import pytest
import torch

from hrdet import streams
from hrdet.optimize import cuda_graphs
from hrdet.optimize.cuda_graphs import GraphCache, Recorder
from tests.models import toy_batches as batches
from tests.models.trained_detectors import assert_same, detector
from tests.recording_streams import RecordingStreams


@pytest.fixture
def recording(monkeypatch):
    """Streams and graphs for a CPU: what is captured is kept as a call, and replayed as one."""
    monkeypatch.setattr(torch.cuda, 'device', lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'graph_pool_handle', object)
    return RecordingStreams(monkeypatch)


def test_capture_and_replay(recording):
    """Warm, then captured, on a side stream; a replay reads new inputs, after the last one."""
    record, runs = Recorder(torch.device('cuda:1')), []

    def function(x):
        runs.append((recording.capturing(), recording.current.name))
        return x + 1

    with recording:
        images = torch.zeros(2)
        graph = record(function, images)
        assert runs == [(False, 'side'), (True, 'side')]
        images += 5
        assert [graph(torch.full((2,), value)).tolist() for value in (7.0, 8.0)] == [[8, 8], [9, 9]]
    assert len(recording.replays) == 2


def test_one_pool_and_stream_for_all_graphs(monkeypatch):
    captures = []
    monkeypatch.setattr(torch.cuda, 'device', lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'graph_pool_handle', object)
    RecordingStreams(monkeypatch)
    monkeypatch.setattr(streams, 'capture', lambda *args: captures.append(args[1:]) or (None, None))
    record = Recorder(torch.device('cuda:1'))
    for _ in range(2):
        record(torch.neg, torch.zeros(2))
    assert captures[0] == captures[1]


@pytest.mark.parametrize('missing', ['fork', 'join'])
def test_the_stand_in_finds_what_is_not_waited_for(recording, monkeypatch, missing):
    monkeypatch.setattr(streams, missing, lambda *_: None)
    with recording, pytest.raises(AssertionError, match='does not wait for'):
        cuda_graphs._side_by_side([lambda x: x * 2] * 2, [torch.zeros(2)] * 2)[0].sum()


def test_graphs_replay_a_detector(recording, monkeypatch):
    """What is recorded where, with plain calls in the place of graphs."""
    recorded = []

    class Record:
        def __init__(self, device):
            self.device = device

        def __call__(self, function, inputs):
            recorded.append((function, self.device))
            return function

    monkeypatch.setattr(cuda_graphs, 'Recorder', Record)
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast = copy.deepcopy(model)  # on a CPU ``optimize`` takes other modules
    cuda_graphs.graphed(fast)
    for recording.in_capture in (False, True):
        with recording:
            found = fast.predict(batch)
        assert_same(found, model.predict(batch))
    assert [str(device) for _, device in recorded] == ['cpu'] * 2  # the trunk and the first head
    assert len(recording.sides) == 4  # the branches of the last stage


def test_branches_fork_and_join(recording):
    """In a graph every branch has a stream of its own."""
    seen = []

    def branch(x):
        seen.append(recording.current.name)
        return x * 2

    with recording:
        results = cuda_graphs._side_by_side([branch] * 3, list(torch.arange(3.0)))
        assert [(result + 1).item() for result in results] == [1, 3, 5]
    assert seen == ['side 0', 'side 1', 'side 2']


def test_graphs_are_kept_for_the_usual_shapes():
    recorded = []

    def record(function, inputs):
        recorded.append(tuple(inputs.shape))
        kept = function(inputs)

        def replay(new):  # a graph writes into the memory of its first run
            kept.copy_(function(new))
            return kept

        return replay

    cache = GraphCache(lambda x: x + 1, record, limit=2)
    first = cache(torch.zeros(2))
    assert cache(torch.ones(2)).tolist() == [2, 2]
    assert first.tolist() == [1, 1]  # not overwritten by the second call
    for size in (3, 4, 4, 2, 4, 3):  # 4 drives out 3 when it comes the third time
        assert cache(torch.full((size,), float(size))).tolist() == [size + 1] * size
    assert recorded == [(2,), (3,), (4,)]
    assert len(cache.graphs) == 2


@pytest.mark.usefixtures('exact_convs')
def test_graphs_keep_their_precision():
    recorded = []
    cache = GraphCache(torch.neg, lambda function, _: recorded.append(function) or function)
    for torch.backends.cudnn.allow_tf32 in (False, True, False):
        cache(torch.zeros(2))
    assert len(recorded) == 2


def test_many_shapes_in_turn_are_not_recorded_again_and_again():
    recorded = []

    def record(function, inputs):
        recorded.append(inputs.shape)
        return function

    cache, shapes = GraphCache(torch.neg, record, limit=4), torch.Generator().manual_seed(0)
    for size in torch.randint(1, 30, (1000,), generator=shapes).tolist():
        cache(torch.zeros(size))
    assert len(recorded) < 20
