"""Loader workers outlive the signals of launchers and terminals, not their parent's."""

import signal
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader

from hrdet.data.loader import _start_worker


@pytest.mark.skipif(not hasattr(signal, 'sigwaitinfo'), reason='needs signal.sigwaitinfo')
def test_only_the_parent_ends_a_worker():
    loader = DataLoader(
        list(range(100)), num_workers=1, persistent_workers=True, worker_init_fn=_start_worker
    )
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers
    for signum in (signal.SIGINT, signal.SIGTERM):
        kill = f'import os; os.kill({worker.pid}, {int(signum)})'
        subprocess.run([sys.executable, '-c', kill], check=True)
    assert len(list(batches)) == 99
    assert worker.is_alive()
    batches._shutdown_workers()
    assert not worker.is_alive()


@pytest.mark.skipif(not hasattr(signal, 'sigwaitinfo'), reason='needs signal.sigwaitinfo')
def test_the_parent_can_end_a_busy_worker():
    loader = DataLoader(list(range(4)), num_workers=1, worker_init_fn=_start_worker)
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers
    worker.terminate()
    worker.join(timeout=300)  # only against a hang
    assert worker.exitcode == 0
