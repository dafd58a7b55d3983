"""What the processes of the distributed tests do; a new process imports it from here."""

import json
import os
import signal
from pathlib import Path

import torch

from hrdet import distributed
from hrdet.engine import Hook, launch
from hrdet.engine.evaluate import evaluate
from hrdet.engine.trainer import TrainStep
from hrdet.optim import build_optimizer
from hrdet.tracking import NonFiniteLoss
from hrdet.weights import find_shared
from tests.engine import toy_run
from tests.models.toy_tasks import CONFIGS, batch_of, model_of


class SignalTo(Hook):
    """Sends one process a signal in its n-th iteration."""

    def __init__(self, rank: int, n: int, signum: int = signal.SIGTERM) -> None:
        self.rank, self.n, self.signum = rank, n, signum

    def after_iteration(self, trainer, batch, losses) -> None:
        if distributed.rank() == self.rank and trainer.iter == self.n:
            os.kill(os.getpid(), self.signum)


def find_weights(source: str, folder: str) -> None:
    """Weights at an address, for all processes of a run; what they print is in ``told``."""
    os.dup2(os.open(f'{folder}/told', os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    launch.start('pytorch', force_cpu=True)
    path = find_shared(source)
    Path(folder, f'rank_{distributed.rank()}').write_bytes(path.read_bytes())
    launch.stop()


def train_stop_and_resume(folder: str) -> None:
    """A whole run, a run stopped in mid-epoch, its continuation, and a run that goes wrong."""
    torch.set_num_threads(1)
    launch.start('pytorch', force_cpu=True)
    folder = Path(folder)
    told = {}

    def run(name: str, **options):
        settings = toy_run.settings(log_interval=1)
        trainer = toy_run.trainer(folder / name, settings, length=20, **options)
        told[name] = None
        try:
            trainer.run()
        except NonFiniteLoss as error:
            told[name] = str(error)
        told[f'{name}_iter'] = trainer.iter
        told[f'{name}_stopped_by'] = trainer.stopped_by
        return trainer

    whole = run('whole')
    told['buffer'] = whole.model.norm.running_mean.tolist()
    loader, evaluator = whole.validation
    evaluate(whole.model, loader, [evaluator], whole.device)
    told['metrics'] = evaluator.compute()
    del whole, loader, evaluator
    run('parts', hooks=[SignalTo(rank=1, n=7)])
    run('parts', resume_from=str(folder / 'parts' / 'latest.pth'))
    run('broken', broken=3)
    rank = distributed.rank()
    launch.stop()
    tasks = Path('/proc/self/task')  # Linux
    told['threads'] = [(task / 'comm').read_text().strip() for task in tasks.glob('*')]
    (folder / f'told_{rank}.json').write_text(json.dumps(told))


SGD = dict(type='SGD', lr=0.1)


def step_of_tasks(folder: str) -> None:
    """A training step of a classifier and of a segmentor, with one image of each process."""
    torch.set_num_threads(1)
    device = launch.start('pytorch', force_cpu=True)
    rank = distributed.rank()
    for task in CONFIGS:
        model = model_of(task, small=True).train()
        optimizer = build_optimizer(model, SGD)
        step = TrainStep(model, optimizer, device)
        step(batch_of(task, [rank]))
        torch.save(model.state_dict(), Path(folder, f'{task}_{rank}.pth'))
        del step
    launch.stop()


def leave(code: int) -> None:
    """Exit with a code."""
    raise SystemExit(code)
