"""What the processes of the distributed tests do; a new process imports it from here."""

import json
import os
import signal
from pathlib import Path

import torch
from mmengine.hooks import Hook

from hrdet import distributed
from hrdet.engine import launch
from hrdet.engine.loss_record import NonFiniteLoss
from tests.engine import standin


class SignalTo(Hook):
    """Sends one process a signal in its n-th iteration."""

    def __init__(self, rank: int, n: int, signum: int = signal.SIGTERM) -> None:
        self.rank, self.n, self.signum = rank, n, signum

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if distributed.rank() == self.rank and runner.iter + 1 == self.n:
            os.kill(os.getpid(), self.signum)


def train_stop_and_resume(folder: str) -> None:
    """A whole run, a run stopped in mid-epoch, its continuation, and a run that goes wrong."""
    torch.set_num_threads(1)
    launch.start('pytorch', force_cpu=True)
    folder = Path(folder)
    told = {}

    def run(name: str, hooks=(), **options):
        settings = standin.settings(
            log=dict(interval=1), runner_fields=dict(custom_hooks=list(hooks))
        )
        runner = standin.runner(folder / name, settings, length=20, **options)
        told[name] = None
        try:
            runner.train()
        except NonFiniteLoss as error:
            told[name] = str(error)
        told[f'{name}_iter'] = runner.iter
        told[f'{name}_stopped_by'] = runner.train_loop.stopped_by
        return runner

    whole = run('whole')
    told['metrics'] = whole.val_loop.run()
    told['buffer'] = whole.bare_model.norm.running_mean.tolist()
    del whole
    run('parts', [SignalTo(rank=1, n=7)])
    run('parts', load_from=str(folder / 'parts' / 'latest.pth'), resume=True)
    run('broken', broken=3)
    rank = distributed.rank()
    launch.stop()
    tasks = Path('/proc/self/task')  # Linux
    told['threads'] = [(task / 'comm').read_text().strip() for task in tasks.glob('*')]
    (folder / f'told_{rank}.json').write_text(json.dumps(told))


def leave(code: int) -> None:
    """Exit with a code."""
    raise SystemExit(code)
