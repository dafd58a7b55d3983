"""A stand-in for CUDA's streams that fails where work does not wait for what it needs.

Work is done at once, on the CPU, and recorded as the work of the current stream.  Each stream knows
how much of every other one it waits for, so that a tensor read or written too early is found
whatever the order in which a GPU would have done the work.
"""

import contextlib
from collections import defaultdict

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hrdet import streams


class Stream:
    """``seen``: of every stream, how much of its work comes before what this one does next."""

    def __init__(self, name):
        self.name, self.seen = name, defaultdict(int)


class RecordingStreams(TorchDispatchMode):
    """Takes the place of the functions of ``hrdet.streams`` while it is entered."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.stack, self.sides, self.kept, self.replays = [Stream('main')], [], [], []
        self.written, self.read = {}, defaultdict(dict)  # by memory: when, on which stream
        self.in_capture = False
        for name in ('new_stream', 'side_streams', 'fork', 'on', 'join', 'capture', 'capturing'):
            monkeypatch.setattr(streams, name, getattr(self, name))

    @property
    def current(self):
        return self.stack[-1]

    def new_stream(self, device):
        return Stream('side')

    def side_streams(self, count):
        self.sides += [Stream(f'side {i}') for i in range(len(self.sides), count)]
        return self.sides[:count]

    def fork(self, stream):
        self._wait(stream, self.current)

    def join(self, stream, *tensors):
        self._wait(self.current, stream)
        self.kept += [memory(tensor) for tensor in tensors]

    @contextlib.contextmanager
    def on(self, stream):
        self.stack.append(stream)
        yield
        self.stack.pop()

    def capture(self, function, stream, pool):
        self._wait(stream, self.current)  # as torch.cuda.graph, which synchronises the device
        self.in_capture = True
        with self.on(stream):
            result = function()
        self.in_capture = False
        self._wait(self.current, stream)

        def launch():
            assert not self.in_capture, 'replayed before its capture ended'
            self.replays.append(function)
            for target, value in zip(leaves(result), leaves(function())):
                target.copy_(value)

        return launch, result

    def capturing(self):
        return self.in_capture

    def _wait(self, stream, other):
        for one, amount in other.seen.items():
            stream.seen[one] = max(stream.seen[one], amount)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        inputs = leaves((args, kwargs or {}))
        changed = inputs[:1] if function._schema.is_mutable else []
        known = {memory(tensor) for tensor in inputs}
        now = self.current.seen[self.current] = self.current.seen[self.current] + 1
        for tensor in inputs:
            self._check(function, memory(tensor), self.written.get(memory(tensor)))
            self.read[memory(tensor)][self.current] = now
        for tensor in changed:
            for stream, when in self.read[memory(tensor)].items():
                self._check(function, memory(tensor), (stream, when))
            self.written[memory(tensor)] = self.current, now
        for tensor in leaves(results):
            if memory(tensor) not in known:  # new memory
                self.written[memory(tensor)] = self.current, now
                self.read[memory(tensor)] = {}
        return results

    def _check(self, function, place, event):
        if event is not None:
            stream, when = event
            waits = self.current.seen[stream] >= when
            assert waits, f'{function} on {self.current.name} does not wait for {stream.name}'


def memory(tensor):
    return tensor.untyped_storage().data_ptr()


def leaves(value):
    """The tensors of nested lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return (
        [leaf for item in values for leaf in leaves(item)]
        if isinstance(value, (list, tuple, dict))
        else []
    )
