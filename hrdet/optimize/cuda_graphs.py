"""CUDA graphs of the parts whose shapes only depend on the input's: one launch for all kernels.

HRNet on a GPU waits for launches, hundreds of them for an image.  Inside a graph the branches of an
exchange module run side by side.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hrdet.models.backbones.hrnet import HRModule

LIMIT = 8  # graphs kept for a part; each holds its own inputs and results


class GraphCache:
    """A function of tensors, recorded for the shapes that come most often and replayed for them.

    The first ``limit`` shapes are recorded when they come.  After that a shape takes the place of
    the rarest one once it has come more than twice as often, and until then is computed without a
    graph: recording takes as long as many images, and a data set may have more shapes in turn.

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
        """What the function gives, in memory of its own: a later replay does not change it."""
        # A graph keeps the precision that it was recorded with (TF32 or not).
        form = tuple((t.shape, t.stride(), t.dtype, t.device) for t in _leaves(inputs))
        key = form, torch.backends.cudnn.conv.fp32_precision
        self.calls[key] += 1
        if key not in self.graphs:
            full = len(self.graphs) >= self.limit
            rarest = min(self.graphs, key=self.calls.__getitem__, default=None)
            if full and self.calls[key] <= 2 * self.calls[rarest]:
                return self.function(inputs)
            self.graphs[key] = self.record(self.function, inputs)
            if full:  # not before: recording waits until no graph runs any more
                del self.graphs[rarest]
        return _map(Tensor.clone, self.graphs[key](inputs))


class Recorder:
    """Captures functions as CUDA graphs of one device; they all work in the same memory.

    That is safe for graphs that are replayed one after the other, and whose results are copied
    before the next replay.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @functools.cached_property
    def _pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable, inputs: Any) -> Callable:
        """Capture ``function(inputs)``; the result copies new inputs in and launches everything."""
        own = _map(Tensor.clone, inputs)
        with torch.cuda.device(self.device):  # the current one may be another
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                function(own)  # libraries choose and load their kernels outside of the graph
            current.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may go on meanwhile, as that of a loader, which pins memory.
            where = dict(pool=self._pool, stream=self._stream, capture_error_mode='thread_local')
            with torch.cuda.graph(graph, **where):
                outputs = function(own)

        def replay(new: Any) -> Any:
            for target, source in zip(_leaves(own), _leaves(new)):
                target.copy_(source)
            graph.replay()
            return outputs

        return replay


def graphed(model: nn.Module) -> None:
    """Replay a detector's backbone with its neck, and its first head, as graphs, in place."""
    for module in model.backbone.modules():
        if isinstance(module, HRModule):
            module.forward = functools.partial(_exchange, module)
    record = Recorder(next(model.parameters()).device)
    backbone, neck = model.backbone, model.neck
    trunk = GraphCache(lambda images: neck(backbone(images)), record)
    model.extract = lambda batch: trunk(model.preprocess(batch))
    head = model.rpn_head if hasattr(model, 'rpn_head') else model.bbox_head
    head.forward = GraphCache(head.forward, record)


def _exchange(module: HRModule, features: list[Tensor]) -> list[Tensor]:
    """``HRModule.forward``; in a graph with a stream for each branch, then for each result.

    Outside of a graph several streams gain nothing: the host is too slow to fill one.
    """
    if not torch.cuda.is_current_stream_capturing():
        return HRModule.forward(module, features)
    features = _side_by_side(module.branches, features)
    fuse = [functools.partial(module._fuse, features) for _ in features]
    return _side_by_side(fuse, range(len(features)))


def _side_by_side(functions, inputs) -> list[Tensor]:
    """``function(input)`` of each pair, on streams of their own.

    Every stream begins after what the current one has done and is done before this returns, and the
    caller keeps the inputs: so no stream gets memory that another one still reads.
    """
    current = torch.cuda.current_stream()
    streams = [_stream(i, current.device) for i in range(len(inputs))]
    results = []
    for function, value, stream in zip(functions, inputs, streams):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            results.append(function(value))
    for stream in streams:
        current.wait_stream(stream)
    return results


@functools.cache
def _stream(index: int, device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _leaves(value: Tensor | list[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _map(function: Callable[[Tensor], Any], value: Any) -> Any:
    """A tree with ``function`` of its tensors; everything else stays."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, item) for item in value)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _map(function, v) for k, v in fields.items()})
    return value
