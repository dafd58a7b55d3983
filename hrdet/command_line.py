"""Command lines: options that the tools share.  Nothing slow is imported for ``--help``."""

import argparse
import ast
import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from hrdet.registry import ConfigError, nearest

CONFIG_HELP = 'config file, or the name of a published model or of a config of hrdet'
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
CHECKPOINT_HELP = 'weights: of hrdet, of an OpenMMLab release, or of the HRNet releases'
PROGRAM: str | None = None  # what help and errors call the program; None: its file
# Modules that hrdet requires, by the names that they are imported by.
REQUIRED = ('torch', 'numpy', 'cv2', 'pycocotools', 'rich', 'matplotlib', 'PIL', 'yaml', 'deflate')
# Of checkpoints that are written.
LAYOUTS = ('hrdet', 'mmdet3', 'mmpretrain', 'mmseg', 'official', 'safetensors')


class CfgOptions(argparse.Action):
    """``--cfg-options a.b=c ...``: a dict of overrides from arguments of the form PATH=VALUE.

    A value is a Python literal (``[1, 2]``, ``(1333, 800)``, ``1e-3``, ``None``), ``true`` or
    ``false``, or else a plain string.
    """

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        options = dict(getattr(namespace, self.dest, None) or {})
        for text in values:
            path, equals, value = text.partition('=')
            if not (path and equals):
                parser.error(
                    f'{option_string} takes PATH=VALUE, not {text!r}; files come before it'
                )
            try:
                options[path] = _literal(value)
            except ValueError as error:
                parser.error(f'{option_string} {path}: {error}')
        setattr(namespace, self.dest, options)


class Parser(argparse.ArgumentParser):
    """Takes every option with dashes or underscores between its words.

    From then on a missing package ends the program with one line.
    """

    def __init__(self, description: str | None) -> None:
        sys.excepthook = _missing_package_in_one_line
        if PROGRAM is not None:  # the examples, too
            file = re.escape(Path(sys.argv[0]).name)
            description = re.sub(rf'python tools/(\w+/)?{file}', PROGRAM, description or '')
        super().__init__(
            prog=PROGRAM,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r'unrecognized arguments: (-\S+)', message)
        # All begin with two dashes, which makes them more alike than words of a config.
        similar = nearest(unknown[1], self._option_string_actions, 0.7) if unknown else ''
        super().error(message + similar)

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        return super().parse_known_args(
            [_dashed(text) for text in (sys.argv[1:] if args is None else args)], namespace
        )


def missing_package(error: BaseException) -> str | None:
    """The cure where a package is missing that hrdet requires; None for any other error."""
    name = (error.name or '').partition('.')[0] if isinstance(error, ImportError) else ''
    if name not in REQUIRED:
        return None
    return (
        f'{error}, in {sys.executable}: use the Python that hrdet is installed in (after make '
        f'install .venv/bin/python); python -m hrdet.doctor says what is missing'
    )


def _missing_package_in_one_line(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    message = missing_package(error)
    if message is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f'error: {message}', file=sys.stderr)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Changes to the config; ``load_config`` takes them."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='PATH=VALUE',
        help='values that override the config, such as data.imgs_per_gpu=4 model.pretrained=None',
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """A config, and the processes that work on it; ``hrdet.run_tool.run`` reads them."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument(
        '--gpus', type=int, help='GPUs of this machine to use; 0: the CPU (default: 1 or 0)'
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='job launcher')
    parser.add_argument('--local-rank', type=int, help='given by torch.distributed.launch')
    parser.add_argument(
        '--no-check-images',
        dest='check_images',
        action='store_false',
        help='check 16 images of each data set before the first iteration, not all new ones',
    )
    add_cfg_options(parser)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """--data, --batch and --epochs of the commands that take a model's name."""
    parser.add_argument(
        '--data',
        metavar='PATH',
        help='data of your own, recognised: COCO (also .zip), VOC, YOLO, labelme, images with '
        'label maps, class folders; the config is derived from the model CONFIG',
    )
    parser.add_argument(
        '--batch',
        type=_batch,
        metavar='N',
        help="with --data: images a GPU, or 'auto': as many as memory allows (auto)",
    )
    parser.add_argument(
        '--epochs', type=count, metavar='N', help='with --data: length of training (by its size)'
    )


def check_data_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program if an option goes with --data and there is none."""
    for option, key in (('batch', 'data.imgs_per_gpu'), ('epochs', 'total_epochs')):
        if args.data is None and getattr(args, option) is not None:
            parser.error(f'--{option} goes with --data; otherwise --cfg-options {key}=N')


def add_speed_options(parser: argparse.ArgumentParser) -> None:
    """How to make inference fast; ``speed_options`` reads them."""
    group = parser.add_argument_group(
        'speed',
        'the default is the fastest that keeps results to 0.001 (on GPUs except for TF32)',
    )
    group.add_argument(
        '--no-optimize', action='store_true', help='do not optimize the model for inference'
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
        type=_multiple,
        const=True,
        default=False,
        metavar='MULTIPLE',
        help='CUDA graphs of the most usual input shapes; sides padded to a MULTIPLE (of 32) give '
        'few shapes. Not run on a GPU yet: off by default',
    )
    group.add_argument(
        '--compile', action='store_true', help='torch.compile; the first image takes minutes'
    )


def add_drawing_options(parser: argparse.ArgumentParser) -> None:
    """How results are drawn; ``hrdet.visualize.Style.of`` reads all but --score-thr."""
    group = parser.add_argument_group('drawing')
    group.add_argument(
        '--score-thr',
        '--show-score-thr',
        type=_score,
        default=0.3,
        help='minimum score of drawn objects (%(default)s)',
    )
    group.add_argument('--classes', nargs='+', metavar='NAME', help='draw only these classes')
    group.add_argument(
        '--color-by', choices=('class', 'instance'), default='class', help='of boxes (%(default)s)'
    )
    group.add_argument(
        '--line-width', type=count, help='pixels (by the size of the picture, at least 2)'
    )
    group.add_argument('--no-labels', action='store_true', help='draw no names and no legends')


def speed_options(args: argparse.Namespace) -> dict[str, Any] | None:
    """Arguments for ``hrdet.optimize.optimize``, or None to leave the model alone.

    Raises:
        ConfigError: options for a model that is to be left alone.
    """
    if args.no_optimize and (args.dtype != 'float32' or args.graph or args.compile):
        raise ConfigError('--no-optimize excludes --dtype, --graph and --compile')
    if args.no_optimize:
        return None
    import torch  # slow to import: not for --help

    return dict(dtype=getattr(torch, args.dtype), graph=args.graph, compile=args.compile)


def count(text: str) -> int:
    """The type of an option that is a number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected an integer of 1 or more, not {text!r}')
    return int(text)


def _score(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, not {text!r}')


def _batch(text: str) -> int | None:
    if text == 'auto':
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number of images or 'auto' is expected, not {text!r}")
    return int(text)


def _multiple(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f'expected an integer, not {text!r}; put --graph after the file arguments'
        raise argparse.ArgumentTypeError(message) from None


def _literal(text: str) -> Any:
    # Shell users write true; Python's literals are read as they are, all else is a string.
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if text[:1] in ('[', '(', '{'):
            raise ValueError(f'{text!r} is not a Python value; strings in it need quotes') from None
        return text


def _dashed(text: str) -> str:
    name, equals, value = text.partition('=')
    return name.replace('_', '-') + equals + value if name.startswith('--') else text
