"""What the command-line tools do in common: launchers, errors, exit codes."""

import hrdet.quick_torch  # noqa: F401  (before any other that imports torch)

# isort: split
import argparse
import os
from collections.abc import Callable
from typing import Any

import torch

from hrdet.checkpoints import CheckpointError
from hrdet.data import DataError
from hrdet.engine.launch import LaunchError, run_on_gpus, stop
from hrdet.engine.loss_record import NonFiniteLoss
from hrdet.ops.library import MissingOperatorsError
from hrdet.registry import ConfigError

_MISTAKES = (
    ConfigError,
    DataError,
    CheckpointError,
    LaunchError,
    MissingOperatorsError,
    NonFiniteLoss,
    FileNotFoundError,
)


def speed_options(args: argparse.Namespace) -> dict[str, Any] | None:
    """Arguments for ``hrdet.optimize.optimize``, or None to leave the model alone.

    Raises:
        ConfigError: options for a model that is to be left alone.
    """
    if not args.no_optimize:
        return dict(dtype=getattr(torch, args.dtype), graph=args.graph, compile=args.compile)
    if args.dtype != 'float32' or args.graph or args.compile:
        raise ConfigError('--no-optimize excludes --dtype, --graph and --compile')
    return None


def run(work: Callable[..., int | None], args: argparse.Namespace) -> None:
    """Do ``work(args, launcher, force_cpu)`` in this process, or in one for each of ``--gpus``.

    What ``work`` returns is the exit code.  Mistakes in config, data or files end with their
    message, without a traceback.
    """
    if args.local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher == 'none':
        _guarded(run_on_gpus, args.gpus, _guarded, work, args)
    else:
        _guarded(work, args, args.launcher, args.gpus == 0)


def _guarded(work: Callable[..., int | None], *args: Any) -> None:
    try:
        code = work(*args)
    except _MISTAKES as error:
        raise SystemExit(f'error: {error}') from None
    stop()
    if code:
        raise SystemExit(code)
