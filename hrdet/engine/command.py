"""What the command-line tools share: options in both spellings, launchers, errors, exit codes."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from hrdet.checkpoints import CheckpointError
from hrdet.config import CfgOptions
from hrdet.data import DataError
from hrdet.engine.distributed import LAUNCHERS, run_on_gpus, stop
from hrdet.engine.loss_record import NonFiniteLoss
from hrdet.registry import ConfigError

_MISTAKES = (ConfigError, DataError, CheckpointError, NonFiniteLoss, FileNotFoundError)


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


def _dashed(text: str) -> str:
    name, equals, value = text.partition('=')
    return name.replace('_', '-') + equals + value if name.startswith('--') else text


def run(work: Callable[..., None], args: argparse.Namespace) -> None:
    """Do ``work(args, launcher, force_cpu)`` in this process, or in one for each of ``--gpus``.

    Mistakes in config, data or files end with their message, without a traceback.
    """
    if args.local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher == 'none':
        run_on_gpus(args.gpus, guarded, work, args)
    else:
        guarded(work, args, args.launcher, args.gpus == 0)


def guarded(
    work: Callable[..., None], args: argparse.Namespace, launcher: str, force_cpu: bool
) -> None:
    """The work of one process, with messages for mistakes."""
    try:
        work(args, launcher, force_cpu)
    except _MISTAKES as error:
        raise SystemExit(f'error: {error}') from None
    stop()
