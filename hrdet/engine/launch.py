"""Launchers: start the processes of a run, join their process group, choose their devices."""

import gc
import importlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hrdet.messages import plural

_RANKS = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')  # what torch.distributed reads
# Launcher -> the command that uses it, and the variables that it sets in place of _RANKS.
_LAUNCHERS = {
    'pytorch': ('torchrun --nproc_per_node N tools/train.py ... --launcher pytorch', *_RANKS),
    'slurm': ('srun', 'SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('mpirun', *(f'OMPI_COMM_WORLD_{name}' for name in ('RANK', 'SIZE', 'LOCAL_RANK'))),
}


class LaunchError(RuntimeError):
    """The processes of a run cannot be started this way; the message says which way works."""


def start(launcher: str = 'none', force_cpu: bool = False, backend: str = 'nccl') -> torch.device:
    """Join the process group that ``launcher`` prepared, and take this process's device.

    Args:
        launcher: ``none`` (one process), ``pytorch`` (torchrun and torch.distributed.launch),
            ``slurm`` (srun) or ``mpi`` (Open MPI's mpirun).
        force_cpu: leave GPUs alone.
        backend: of the gradients on GPUs; on the CPU it is gloo whatever a config says.

    Raises:
        LaunchError: the launcher's environment is missing, or there are more processes on this
            machine than GPUs.
    """
    if launcher == 'none':
        _refuse_unnamed_launcher()
    if force_cpu:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # also for code that asks torch for GPUs
    gpus = 0 if force_cpu else torch.cuda.device_count()
    if launcher != 'none' and not dist.is_initialized():
        _set_environment(launcher)
        local_rank = int(os.environ['LOCAL_RANK'])
        if gpus:
            if local_rank >= gpus:
                raise LaunchError(
                    f'process {local_rank} of this machine finds no GPU: there are {gpus}. Start '
                    f'{gpus} processes, or force the CPU with --gpus 0'
                )
            torch.cuda.set_device(local_rank)
        # DDP imports torch._dynamo.  Imported after init_process_group it would keep a reference to
        # the group, which ``stop`` could then not destroy.
        importlib.import_module('torch._dynamo')
        dist.init_process_group(f'cpu:gloo,cuda:{backend}' if gpus else 'gloo', **_new_store())
    return torch.device('cuda', torch.cuda.current_device()) if gpus else torch.device('cpu')


def _new_store() -> dict[str, Any]:
    """After a restart by torchrun (``--max-restarts``): a store without the dead processes.

    torchrun keeps one store, with the addresses of processes, for all attempts.  On several
    machines the attempts have no common number: there torchrun has to be told to make a new store
    (docs/scaling.md).
    """
    attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    if attempt == '0' or os.environ.get('GROUP_WORLD_SIZE') != '1':
        return {}
    store, rank, world_size = next(dist.rendezvous('env://'))
    store = dist.PrefixStore(f'attempt_{attempt}', store)
    return dict(store=store, rank=rank, world_size=world_size)


def _refuse_unnamed_launcher() -> None:
    """Without a process group several processes would all train in one folder."""
    launchers = dict(WORLD_SIZE='pytorch', OMPI_COMM_WORLD_SIZE='mpi', SLURM_STEP_NUM_TASKS='slurm')
    for variable, launcher in launchers.items():
        count = os.environ.get(variable, '1')
        if count != '1' and not dist.is_initialized():
            raise LaunchError(
                f'{count} processes were started ({variable}={count}), but without --launcher '
                f'{launcher} each would train alone: add it'
            )


def _set_environment(launcher: str) -> None:
    """Set the variables that torch.distributed reads, from those of the launcher."""
    command, *theirs = _LAUNCHERS[launcher]
    needed = {*theirs, 'MASTER_ADDR', 'MASTER_PORT'} if launcher == 'pytorch' else {*theirs}
    missing = sorted(needed - set(os.environ))
    if missing:
        raise LaunchError(
            f'--launcher {launcher}: {", ".join(missing)} not set; start with {command}'
        )
    os.environ |= {ours: os.environ[name] for ours, name in zip(_RANKS, theirs)}
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine(launcher)


def _first_machine(launcher: str) -> str:
    if launcher == 'slurm':
        nodes = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
        return subprocess.run(nodes, capture_output=True, text=True, check=True).stdout.split()[0]
    if os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') != os.environ['WORLD_SIZE']:
        raise LaunchError(
            '--launcher mpi: set MASTER_ADDR to the first machine of the run, with '
            'mpirun -x MASTER_ADDR=...'
        )
    return '127.0.0.1'


def stop() -> None:
    """Leave the process group, when nothing uses it any more.

    Its threads end with the last object that refers to it; a thread that outlives the interpreter
    aborts the process.
    """
    if dist.is_initialized():
        gc.collect()  # trainer and hooks refer to each other
        dist.destroy_process_group()


def run_on_gpus(gpus: int | None, work: Callable[..., None], *args: Any) -> None:
    """Run ``work(*args, launcher, force_cpu)`` here, or in one new process for each GPU.

    ``gpus`` is 0 for the CPU, 1 for one GPU, and None for one if there is one; all these work in
    this process.

    Raises:
        LaunchError: more GPUs asked for than there are.
    """
    _refuse_unnamed_launcher()
    # One process per GPU only for several; otherwise this process does the work itself.
    count = torch.cuda.device_count()
    if gpus is not None and gpus > count:
        raise LaunchError(
            f'--gpus {gpus}: this machine has {plural(count, "GPU")}. --gpus 0 works on the CPU; '
            f'several CPU processes start with torchrun and --launcher pytorch'
        )
    if gpus is None or gpus <= 1:
        work(*args, 'none', gpus == 0)
    else:
        spawn(gpus, work, *args, 'pytorch', False)


def spawn(processes: int, work: Callable[..., None], *args: Any) -> None:
    """Run ``work(*args)``, a function of a module, in new processes ready for launcher pytorch.

    Ctrl-C and SIGTERM reach every one of them.

    Raises:
        SystemExit: a process left with an exit code.
        torch.multiprocessing.ProcessRaisedException: one raised an error.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    # join=False, so that this process can pass signals on while it waits.
    context = mp.start_processes(
        _worker, (processes, port, work, args), processes, join=False, start_method='spawn'
    )
    previous = {
        s: signal.signal(s, lambda number, _: [os.kill(pid, number) for pid in context.pids()])
        for s in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while not context.join(grace_period=5):
            pass
    except mp.ProcessExitedException as error:
        raise SystemExit(error.exit_code) from None
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _worker(index: int, count: int, port: int, work: Callable[..., None], args: tuple) -> None:
    ranks = dict(RANK=index, LOCAL_RANK=index, WORLD_SIZE=count, LOCAL_WORLD_SIZE=count)
    os.environ |= {name: str(value) for name, value in ranks.items()}
    os.environ |= dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    work(*args)
