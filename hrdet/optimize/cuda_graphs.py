"""CUDA graphs of the parts whose shapes depend on the input's alone: one launch for all kernels.

HRNet launches hundreds of small kernels for an image, and on a GPU the launches take most of the
time.  Inside a graph the branches of an HRModule run on separate streams.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hrdet import streams
from hrdet.models.backbones.hrnet import HRModule

LIMIT = 8  # graphs of a part; each holds its own inputs and results


class GraphCache:
    """A function of tensors, recorded for the most frequent shapes and replayed for them.

    The first ``limit`` shapes are recorded at once.  After that a shape replaces the rarest one
    when it has been seen more than twice as often, and until then is computed without a graph:
    recording takes as long as many images, and a data set may cycle through more shapes.

    Args:
        function: of a tensor or a list of them, to any tree of lists and dataclasses of tensors;
            nothing in it may wait for the device.
        record: ``record(function, inputs)`` makes the graph, a function of new inputs.
    """

    def __init__(self, function: Callable, record: Callable, limit: int = LIMIT) -> None:
        self.function, self.record, self.limit = function, record, limit
        self.graphs: dict[Any, Callable] = {}
        self.calls: Counter = Counter()

    def __call__(self, inputs: Tensor | list[Tensor]) -> Any:
        """The result of the function in memory of its own: a later replay does not change it."""
        # A graph keeps the precision that it was recorded with (TF32 or not).
        shapes = tuple((t.shape, t.stride(), t.dtype, t.device) for t in _leaves(inputs))
        key = shapes, torch.backends.cudnn.conv.fp32_precision
        self.calls[key] += 1
        if key not in self.graphs:
            # A new shape: record it if there is room, or if it is more frequent than the rarest
            # one.
            full = len(self.graphs) >= self.limit
            rarest = min(self.graphs, key=self.calls.__getitem__, default=None)
            if full and self.calls[key] <= 2 * self.calls[rarest]:
                return self.function(inputs)
            self.graphs[key] = self.record(self.function, inputs)
            if full:  # not before: recording waits until no graph runs any more
                del self.graphs[rarest]
        return _map(Tensor.clone, self.graphs[key](inputs))


class Recorder:
    """Captures functions as CUDA graphs of one device, which share one memory pool.

    That is safe for graphs that are replayed one after the other, if their results are copied
    before the next replay.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream:
        return streams.new_stream(self.device)

    @functools.cached_property
    def _pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable, inputs: Any) -> Callable:
        """Capture ``function(inputs)``; the result copies new inputs in and launches everything."""
        # A graph reads its inputs from fixed addresses: these copies.
        own = _map(Tensor.clone, inputs)
        with torch.cuda.device(self.device):  # the current one may be another
            streams.fork(self._stream)
            with streams.on(self._stream):
                function(own)  # libraries choose and load their kernels outside of the graph
            streams.join(self._stream)
            launch, outputs = streams.capture(lambda: function(own), self._stream, self._pool)

        def replay(new: Any) -> Any:
            for target, source in zip(_leaves(own), _leaves(new)):
                target.copy_(source)
            launch()
            return outputs

        return replay


def graphed(model: nn.Module) -> None:
    """Replay a model's backbone with its neck, and its heads, as graphs, in place.

    The backbone then computes the neck as well, and the neck is the identity.
    """
    for module in model.backbone.modules():
        if type(module) is HRModule:
            module.__class__ = ParallelHRModule
    record = Recorder(next(model.parameters()).device)
    model.backbone = nn.Sequential(model.backbone, model.neck)
    model.neck = nn.Identity()
    for part in (model.backbone, *model.heads().values()):
        part.forward = GraphCache(part.forward, record)


class ParallelHRModule(HRModule):
    """In a graph, one stream for each branch, then one for each result.

    Outside of a graph several streams gain nothing: the host is too slow to fill one.
    """

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        if not streams.capturing():
            return super().forward(features)
        features = _side_by_side(self.branches, features)
        fuse = [functools.partial(self._fuse, features) for _ in features]
        return _side_by_side(fuse, range(len(features)))


def _side_by_side(functions, inputs) -> list[Tensor]:
    """``function(input)`` of each pair, each on a stream of its own.

    Every stream waits for the current one at the start, and the current one waits for every stream
    at the end; the caller keeps the inputs, so no stream reuses memory that another one reads.
    """
    sides = streams.side_streams(len(inputs))
    results = []
    for function, value, stream in zip(functions, inputs, sides):
        streams.fork(stream)
        with streams.on(stream):
            results.append(function(value))
    for stream in sides:
        streams.join(stream)
    return results


def _leaves(value: Tensor | list[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _map(function: Callable[[Tensor], Any], value: Any) -> Any:
    """A tree with ``function`` applied to its tensors; everything else stays."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, item) for item in value)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _map(function, v) for k, v in fields.items()})
    return value
