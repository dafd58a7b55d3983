"""What the command-line tools share: options in both spellings, launchers, errors, exit codes."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hrdet.checkpoints import CheckpointError
from hrdet.config import CfgOptions
from hrdet.data import DataError
from hrdet.engine.distributed import LAUNCHERS, LaunchError, run_on_gpus, stop
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


class Parser(argparse.ArgumentParser):
    """Takes every option with dashes or underscores between its words."""

    def __init__(self, description: str) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.add_argument('config', help='config file')
        self.add_argument(
            '--gpus', type=int, help='GPUs of this machine to use; 0: the CPU (default: 1 or 0)'
        )
        self.add_argument('--launcher', choices=LAUNCHERS, default='none', help='who starts us')
        self.add_argument('--local-rank', type=int, help='given by torch.distributed.launch')
        self.add_argument(
            '--cfg-options',
            nargs='+',
            action=CfgOptions,
            metavar='PATH=VALUE',
            help='values that override the config, such as data.imgs_per_gpu=4',
        )

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        return super().parse_known_args(
            [_dashed(text) for text in (sys.argv[1:] if args is None else args)], namespace
        )


def add_speed_options(parser: argparse.ArgumentParser) -> None:
    """How to make inference fast; ``speed_options`` reads them."""
    group = parser.add_argument_group(
        'speed',
        'by default the fastest that changes no result (to 0.001; on GPUs but for TF32)',
    )
    group.add_argument(
        '--no-optimize', action='store_true', help='run the network as it was trained'
    )
    group.add_argument(
        '--dtype',
        choices=('float32', 'bfloat16', 'float16'),
        default='float32',
        help='of weights and feature maps; below 32 bits scores change slightly (%(default)s)',
    )
    group.add_argument(
        '--graph',
        nargs='?',
        type=int,
        const=True,
        default=False,
        metavar='MULTIPLE',
        help='CUDA graphs of the most usual input shapes; sides padded to a MULTIPLE (of 32) give '
        'few shapes. Not run on a GPU yet: off by default',
    )
    group.add_argument(
        '--compile', action='store_true', help='torch.compile; the first image takes minutes'
    )


def speed_options(args: argparse.Namespace) -> dict[str, Any] | None:
    """Arguments for ``hrdet.models.optimize``, or None to leave the model alone.

    Raises:
        ConfigError: options for a model that is to be left alone.
    """
    if not args.no_optimize:
        return dict(dtype=getattr(torch, args.dtype), graph=args.graph, compile=args.compile)
    if args.dtype != 'float32' or args.graph or args.compile:
        raise ConfigError('--no-optimize excludes --dtype, --graph and --compile')
    return None


def _dashed(text: str) -> str:
    name, equals, value = text.partition('=')
    return name.replace('_', '-') + equals + value if name.startswith('--') else text


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
