"""CUDA graphs without a GPU: what is recorded, on which streams, and for which shapes."""

import contextlib
import functools
import types

import pytest
import torch

from hrdet.optimize import cuda_graphs, optimize
from hrdet.optimize.cuda_graphs import GraphCache, Recorder
from tests.models import toy_batches as batches
from tests.models.trained_detectors import assert_same, detector


class Fakes:
    """Graphs and streams for a CPU: what is captured is kept as a call, and replayed as one."""

    def __init__(self, monkeypatch):
        self.capturing, self.captures, self.streams, self.log = False, [], [], []
        for name in ('Stream', 'CUDAGraph', 'graph', 'stream', 'device'):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, 'current_stream', lambda: self.streams[-1])
        monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: self.capturing)
        monkeypatch.setattr(torch.cuda, 'graph_pool_handle', object)
        monkeypatch.setattr(cuda_graphs, '_stream', functools.cache(self._branch))
        self.streams.append(self.Stream('cuda:1'))

    def Stream(self, device):
        stream = types.SimpleNamespace(device=device, waits=[])
        stream.wait_stream = stream.waits.append
        return stream

    def _branch(self, index, device):
        return self.Stream(device)

    def CUDAGraph(self):
        return types.SimpleNamespace(replay=lambda: self.log.append('replay'))

    @contextlib.contextmanager
    def stream(self, stream):
        self.streams.append(stream)
        yield
        self.streams.pop()

    @contextlib.contextmanager
    def device(self, device):
        self.log.append(str(device))
        yield

    @contextlib.contextmanager
    def graph(self, graph, **where):
        self.captures.append(where)
        self.capturing = True
        with self.stream(where['stream']):
            yield
        self.capturing = False


def test_capture(monkeypatch):
    """One pool and stream for all graphs, on the model's device, undisturbed by other threads."""
    fakes = Fakes(monkeypatch)
    record, runs = Recorder(torch.device('cuda:1')), []

    def function(x):
        runs.append((fakes.capturing, fakes.streams[-1]))
        return x + 1

    images = torch.zeros(2)
    graphs = [record(function, images) for _ in range(2)]
    first, second = fakes.captures
    assert first == second
    assert first['capture_error_mode'] == 'thread_local'
    # Warm, then captured, on one stream, which began after the caller's.
    assert runs == [(captured, first['stream']) for captured in (False, True)] * 2
    assert first['stream'].waits == [fakes.streams[0]] * 2
    assert fakes.streams[0].waits == [first['stream']] * 2
    assert fakes.log == ['cuda:1'] * 2
    # What was captured read a copy of the inputs, which new ones are written into.
    images += 5
    assert graphs[0](torch.full((2,), 7.0)).tolist() == [1, 1]
    assert fakes.log[2:] == ['replay']


def test_graphs_replay_a_detector(monkeypatch):
    """What is recorded where, with plain calls in the place of graphs."""
    recorded = []

    class Record:
        def __init__(self, device):
            self.device = device

        def __call__(self, function, inputs):
            recorded.append((function, self.device))
            return function

    fakes = Fakes(monkeypatch)
    monkeypatch.setattr(cuda_graphs, 'Recorder', Record)
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast = optimize(model)
    cuda_graphs.graphed(fast)
    for fakes.capturing in (False, True):
        assert_same(fast.predict(batch), model.predict(batch))
    assert [str(device) for _, device in recorded] == ['cpu'] * 2  # the trunk and the first head


def test_branches_fork_and_join(monkeypatch):
    """In a graph every branch waits for the caller's stream, and that one for every branch."""
    fakes = Fakes(monkeypatch)
    main, seen = fakes.streams[0], []

    def branch(x):
        seen.append(fakes.streams[-1])
        return x * 2

    assert cuda_graphs._side_by_side([branch] * 3, [1, 2, 3]) == [2, 4, 6]
    assert len({id(stream) for stream in seen}) == 3
    assert all(stream.waits == [main] for stream in seen)
    assert main.waits == seen


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
