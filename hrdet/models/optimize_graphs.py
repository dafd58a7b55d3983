"""CUDA graphs of the parts whose shapes only depend on the input's: one launch for all kernels."""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LIMIT = 8  # graphs kept for a part; each holds its own feature maps


class GraphCache:
    """A function of tensors, recorded at the first call with a shape and replayed from then on.

    The ``limit`` shapes used last are kept.  Data sets of many shapes should pad to a few
    (``data.test.size_divisor=128``, say), which changes scores at the padded borders slightly.

    Args:
        function: of a tensor or a list of them, to any tree of lists and dataclasses of tensors;
            nothing in it may wait for the device.
        record: makes the graph; a test may put something else in its place.
    """

    def __init__(self, function: Callable, limit: int = LIMIT, record: Callable | None = None):
        self.function, self.limit = function, limit
        self.record = record or _record
        self.graphs: OrderedDict[Any, Callable] = OrderedDict()

    def __call__(self, inputs: Tensor | list[Tensor]) -> Any:
        """What the function gives, in memory of its own: a later replay does not change it."""
        key = _map(lambda t: (t.shape, t.dtype, t.device, t.stride()), inputs)
        key = tuple(key) if isinstance(key, list) else key
        if key not in self.graphs:
            while len(self.graphs) >= self.limit:
                self.graphs.popitem(last=False)
            self.graphs[key] = self.record(self.function, inputs)
        self.graphs.move_to_end(key)
        return _map(Tensor.clone, self.graphs[key](inputs))


def graphed(model: nn.Module) -> None:
    """Replay a detector's backbone with its neck, and its first head, as graphs, in place."""
    backbone, neck = model.backbone, model.neck
    trunk = GraphCache(lambda images: neck.forward(backbone.forward(images)))
    backbone.forward, neck.forward = trunk, lambda features: features
    head = model.rpn_head if hasattr(model, 'rpn_head') else model.bbox_head
    head.forward = GraphCache(head.forward)


def _record(function: Callable, inputs: Any) -> Callable:
    """Capture ``function(inputs)``; the result copies new inputs in and launches everything."""
    own = _map(Tensor.clone, inputs)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries choose and load their kernels outside the graph
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


def _leaves(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _map(function: Callable[[Tensor], Any], value: Any) -> Any:
    """A tree with ``function`` of its tensors; numbers stay."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, item) for item in value)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _map(function, v) for k, v in fields.items()})
    return value
