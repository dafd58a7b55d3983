"""Run one side of a benchmark in its own process: the worker, and the harness's proxy for it.

A worker reads a JSON object a line from its standard input and answers with one a line; arrays
travel as npz files.  The subject's function imports what it measures, inside the worker only:
hrdet's worker never imports a peer, and a peer's worker runs in the peer's environment.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
_MB = 2**20


class WorkerError(RuntimeError):
    """A worker's task failed, or the worker died; the message holds its traceback."""


class Worker:
    """The harness's proxy for a worker process, which prepares, runs and times a function.

    Args:
        python: the interpreter of its environment.
        threads: for torch, OpenMP, BLAS and OpenCV.
        source: the folder from which ``hrdet`` is imported.

    ``seconds`` is how long the run of ``arrays`` took; 0 before.
    """

    seconds = 0.0

    def __init__(self, python: str, threads: int = 1, source: Path = ROOT) -> None:
        count = dict.fromkeys(
            ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENCV_FOR_THREADS_NUM'), str(threads)
        )
        self._errors = tempfile.TemporaryFile('w+')  # noqa: SIM115  (close() closes it)
        self._process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), str(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | count,
        )

    def ask(self, task: str, **arguments: Any) -> Any:
        """The answer to one task of ``_Server``.

        Raises:
            WorkerError: with the worker's own traceback, or the end of what it wrote.
        """
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([task, arguments]) + '\n')
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            output = self._errors.read()[-2000:]
            raise WorkerError(f'the worker ended with status {self._process.wait()}:\n{output}')
        answer = json.loads(line)
        if 'error' in answer:
            raise WorkerError(answer['error'])
        return answer['value']

    def arrays(self) -> dict[str, np.ndarray]:
        """What one run returns."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'arrays.npz')
            self.seconds = self.ask('check', path=str(path))
            with np.load(path) as file:
                return dict(file)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> 'Worker':
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Server:
    """The worker; every method is a task that the harness can ask for."""

    run: Callable[[], Any]
    arrays: Callable[[Any], dict[str, np.ndarray]]

    def call(self, function: str, arguments: dict[str, Any]) -> Any:
        """``module:function`` with these arguments; its result as JSON."""
        return _function(function)(**arguments)

    def prepare(self, function: str, arguments: dict[str, Any]) -> None:
        """Keep what ``module:function`` returns: what is measured, and what it returned as arrays.

        A subject's function returns both, ``run()`` and ``arrays(result)``.
        """
        self.run, self.arrays = _function(function)(**arguments)

    def check(self, path: str) -> float:
        """Run once, without TF32, and write what came out; the seconds that it took."""
        with _float32():
            start = time.perf_counter()
            result = self.run()
            _wait_for_device()
            seconds = time.perf_counter() - start
            np.savez(path, **self.arrays(result))
        return seconds

    def time(self, count: int, cpu: bool = False) -> float:
        """Seconds a run, over ``count`` of them; with ``cpu`` those that the process computed."""
        clock = time.process_time if cpu else time.perf_counter
        _wait_for_device()
        start = clock()
        for _ in range(count):
            self.run()
        _wait_for_device()
        return (clock() - start) / count

    def memory(self) -> float:
        """Peak MB of a run: what torch holds on a GPU, else what is resident of the process."""
        gc.collect()
        torch = _cuda()
        if torch:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self.run()
            # What is reserved: that counts the memory of CUDA graphs, too.
            return torch.cuda.max_memory_reserved() / _MB
        with contextlib.suppress(OSError):
            Path('/proc/self/clear_refs').write_text('5')  # the peak counts from here
        self.run()
        return _peak_resident() / _MB

    def about(self, packages: list[str], device: str = 'cpu') -> dict[str, str]:
        """Versions of the packages that are installed here, and the name of the GPU."""
        from importlib.metadata import PackageNotFoundError, version

        versions = {'Python': sys.version.split()[0]}
        for package in packages:
            with contextlib.suppress(PackageNotFoundError):
                versions[package] = version(package)
        if device == 'cuda':
            import torch

            versions |= {'CUDA': torch.version.cuda, 'GPU': torch.cuda.get_device_name()}
        return versions


def _function(name: str) -> Callable:
    module, name = name.split(':')
    return getattr(importlib.import_module(module), name)


def _cuda() -> Any:
    """The module torch, if it has started a GPU."""
    torch = sys.modules.get('torch')
    return torch if torch and torch.cuda.is_initialized() else None


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """By default cuDNN rounds the factors of float32 convolutions to 11 bits (TF32)."""
    torch = _cuda()
    if not torch:
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _wait_for_device() -> None:
    torch = _cuda()
    if torch:
        torch.cuda.synchronize()


def _peak_resident() -> int:
    """In bytes."""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:  # not Linux: since the start
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM'))


def _serve() -> None:
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # keeps what libraries print out of the answers
    server = _Server()
    for line in sys.stdin:
        task, arguments = json.loads(line)
        try:
            answer = {'value': getattr(server, task)(**arguments)}
        except Exception:
            answer = {'error': traceback.format_exc()}
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


if __name__ == '__main__':
    sys.path[0] = str(ROOT)
    import benchmarks  # noqa: F401  (this one, also where ``source`` has another)

    sys.path.insert(0, sys.argv[1])
    _serve()
