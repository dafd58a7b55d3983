"""Train a model.

    python tools/train.py CONFIG
    python -m torch.distributed.launch --nproc_per_node 4 tools/train.py CONFIG --launcher pytorch
    torchrun --nproc_per_node 4 tools/train.py CONFIG --launcher pytorch
    python tools/train.py MODEL --data FOLDER

The same command again resumes from work_dir/latest.pth, at the iteration where it stopped.
With --data the config is derived from a published model and the data, and written to work_dirs/.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, add_data_options, add_run_options, check_data_options
from hrdet.config import load_config


def parse_args() -> argparse.Namespace:
    """Options with defaults None are left to the config."""
    parser = Parser(__doc__)
    add_run_options(parser)
    add_data_options(parser)
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument('--resume-from', help='checkpoint of a run to continue')
    parser.add_argument('--load-from', help='checkpoint whose weights to start from')
    parser.add_argument('--seed', type=int, help='of data order, augmentation and initial weights')
    parser.add_argument('--deterministic', action='store_true', help='same bits on every run')
    for option, text in (
        ('validate', 'no evaluation while training'),
        ('auto-resume', 'do not resume from work_dir/latest.pth'),
        ('auto-scale-lr', "keep the config's learning rate whatever the actual batch is"),
    ):
        dest = option.replace('-', '_')
        parser.add_argument(f'--no-{option}', dest=dest, action='store_false', help=text)
    args = parser.parse_args()
    check_data_options(parser, args)
    if args.data is not None and args.launcher != 'none':
        parser.error('--data writes a config: write it first with hrdet config --data')
    return args


def train(args: argparse.Namespace, launcher: str, force_cpu: bool) -> int:
    """Train in one process; returns the exit code, 128 and more after a signal."""
    from hrdet.engine.build import TrainOptions, build_trainer

    options = TrainOptions(**{f.name: getattr(args, f.name) for f in fields(TrainOptions)})
    config = load_config(args.config, args.cfg_options)
    return build_trainer(config, options, launcher, force_cpu).run()


def main() -> None:
    """Run the command."""
    args = parse_args()
    from hrdet.run_tool import mistakes_in_one_line, run  # slow to import: not for --help

    if args.data is not None:
        from hrdet.finetune import config_for

        with mistakes_in_one_line():
            bad = (args.cfg_options or {}).get('on_bad_image', 'error')
            choices = args.config, args.data, args.batch, args.gpus == 0
            args.config = str(config_for(*choices, on_bad_image=bad, epochs=args.epochs))
    run(train, args)


if __name__ == '__main__':
    main()
