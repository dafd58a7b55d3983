"""Time the parts of a step, on CPU and on CUDA."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Stopwatch:
    """Times of named spans in milliseconds, one number a step: events on CUDA, a clock on CPU."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == 'cuda'
        self.times: dict[str, list[float]] = defaultdict(list)
        self._spans: list[tuple] = []
        self._begun: dict[str, list] = defaultdict(list)

    def begin(self, name: str) -> None:
        self._begun[name].append(self._now())

    def end(self, name: str) -> None:
        start = self._begun[name].pop()
        if not self._begun[name]:  # a span inside one of the same name is part of it
            self._spans.append((name, start, self._now()))

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.begin(name)
        yield
        self.end(name)

    def watch(self, module: nn.Module, name: str) -> None:
        """Time every call of the module."""
        # Not traced, so that a compiled module is timed from outside.
        begin, end = torch.compiler.disable(self.begin), torch.compiler.disable(self.end)
        module.register_forward_pre_hook(lambda *_: begin(name))
        module.register_forward_hook(lambda *_: end(name))

    def finish_step(self) -> None:
        """Turn the spans since the last call into one number for each name."""
        if self.cuda:
            torch.cuda.synchronize()
        step: dict[str, float] = defaultdict(float)
        for name, start, stop in self._spans:
            step[name] += start.elapsed_time(stop) if self.cuda else (stop - start) * 1000
        for name, milliseconds in step.items():
            self.times[name].append(milliseconds)
        self._spans.clear()

    def _now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
