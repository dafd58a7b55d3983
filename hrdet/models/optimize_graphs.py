"""CUDA graphs of the parts whose shapes only depend on the input's: one launch for all kernels.

HRNet on a GPU waits for launches, hundreds of them for an image.  Inside a graph the branches of an
exchange module run side by side.
"""

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hrdet.models.backbones.hrnet import ExchangeModule

LIMIT = 8  # graphs kept for a part; each holds its own feature maps


class GraphCache:
    """A function of tensors, recorded at the first call with a shape and replayed from then on.

    The ``limit`` shapes used last are kept.

    Args:
        function: of a tensor or a list of them, to any tree of lists and dataclasses of tensors;
            nothing in it may wait for the device.
        record: ``record(function, inputs)`` makes the graph, a function of new inputs.
    """

    def __init__(self, function: Callable, limit: int = LIMIT, record: Callable | None = None):
        self.function, self.limit = function, limit
        self.record = record or _record
        self.graphs: OrderedDict[Any, Callable] = OrderedDict()

    def __call__(self, inputs: Tensor | list[Tensor]) -> Any:
        """What the function gives, in memory of its own: a later replay does not change it."""
        key = tuple((t.shape, t.stride(), t.dtype, t.device) for t in _leaves(inputs))
        if key not in self.graphs:
            while len(self.graphs) >= self.limit:
                self.graphs.popitem(last=False)
            self.graphs[key] = self.record(self.function, inputs)
        self.graphs.move_to_end(key)
        return _map(Tensor.clone, self.graphs[key](inputs))


def graphed(model: nn.Module) -> None:
    """Replay a detector's backbone with its neck, and its first head, as graphs, in place."""
    for module in model.backbone.modules():
        if isinstance(module, ExchangeModule):
            module.forward = functools.partial(_exchange, module)
    backbone, neck = model.backbone, model.neck
    trunk = GraphCache(lambda images: neck(backbone(images)))
    model.extract = lambda batch: trunk(model.preprocess(batch))
    head = model.rpn_head if hasattr(model, 'rpn_head') else model.bbox_head
    head.forward = GraphCache(head.forward)


def _exchange(module: ExchangeModule, features: list[Tensor]) -> list[Tensor]:
    """``ExchangeModule.forward`` with a stream for each branch, then one for each result."""
    features = _side_by_side(module.branches, features)
    fuse = [functools.partial(module._fuse, features) for _ in features]
    return _side_by_side(fuse, range(len(features)))


def _side_by_side(functions, inputs) -> list[Tensor]:
    """``function(input)`` of each pair, on streams of their own.

    Every stream begins after what the current one has done and is done before this returns, and the
    caller keeps the inputs: so no stream gets memory that another one still reads.
    """
    current = torch.cuda.current_stream()
    results, streams = [], _streams(len(inputs), current.device)
    for function, value, stream in zip(functions, inputs, streams):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            results.append(function(value))
    for stream in streams:
        current.wait_stream(stream)
    return results


@functools.cache
def _streams(count: int, device: torch.device) -> list[torch.cuda.Stream]:
    return [torch.cuda.Stream(device) for _ in range(count)]


def _record(function: Callable, inputs: Any) -> Callable:
    """Capture ``function(inputs)``; the result copies new inputs in and launches everything."""
    own = _map(Tensor.clone, inputs)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries choose and load their kernels outside of the graph
        for _ in range(2):
            function(own)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(own)

    def replay(new: Any) -> Any:
        for target, source in zip(_leaves(own), _leaves(new)):
            target.copy_(source)
        graph.replay()
        return outputs

    return replay


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
