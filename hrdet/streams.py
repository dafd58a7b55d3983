"""CUDA streams and graphs: what waits for what. No other file orders work on a device."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor


def new_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream beside the current one of the device."""
    return torch.cuda.Stream(device)


def side_streams(count: int) -> list[torch.cuda.Stream]:
    """Streams of the current device, the same ones at every call."""
    device = torch.device('cuda', torch.cuda.current_device())
    return [_side_stream(index, device) for index in range(count)]


@functools.cache
def _side_stream(index: int, device: torch.device) -> torch.cuda.Stream:
    return new_stream(device)


def fork(stream: torch.cuda.Stream) -> None:
    """Let a side stream wait for all that the current stream has been given."""
    stream.wait_stream(torch.cuda.current_stream(stream.device))


def on(stream: torch.cuda.Stream) -> AbstractContextManager:
    """Within the context work goes to a side stream."""
    return torch.cuda.stream(stream)


def join(stream: torch.cuda.Stream, *tensors: Tensor) -> None:
    """Let the current stream wait for a side stream, whose ``tensors`` it will use.

    Their memory belongs to the side stream, which must not use it again before this one has read
    them.  Inside a graph, or where their own stream waits before it allocates, none need be named.
    """
    current = torch.cuda.current_stream(stream.device)
    current.wait_stream(stream)
    for tensor in tensors:
        tensor.record_stream(current)


def capture(
    function: Callable[[], Any], stream: torch.cuda.Stream, pool: Any
) -> tuple[Callable[[], None], Any]:
    """Record what a function launches; returns what launches it all again, and its result."""
    graph = torch.cuda.CUDAGraph()
    # Other threads may use CUDA meanwhile, such as the loader's, which pins memory.
    with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode='thread_local'):
        result = function()
    return graph.replay, result


def capturing() -> bool:
    """Whether the current stream records a graph."""
    return torch.cuda.is_current_stream_capturing()
