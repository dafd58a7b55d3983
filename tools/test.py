"""Test a model on the data set ``data.test`` of its config.

    python tools/test.py CONFIG CHECKPOINT
    python tools/test.py CONFIG CHECKPOINT --gpus 4 --eval bbox segm --out result.pkl
    python tools/test.py CONFIG CHECKPOINT --eval mIoU mDice --tta --show-dir shown
    python tools/test.py CONFIG CHECKPOINT --format-only --out for_the_server
    python tools/test.py MODEL                     a published model with its weights

The config's evaluator prints its metrics, which metrics.json in the work folder (or beside --out)
holds unrounded, and writes the results:

    detection       --eval bbox segm proposal proposal_fast; --out .json is COCO's result format,
                    .pkl the lists of the 2019 release
    classification  --eval accuracy; --out .json or .pkl is a list with pred_label, pred_class,
                    pred_score, top5 and gt_label of every image
    segmentation    --eval mIoU mDice mFscore; --out is a folder of PNGs, the class of each pixel
                    as its number

report/report.html beside metrics.json shows tables of classes, precision, recall and F1, confusion,
kinds of errors, and the worst images with filters; --no-report saves its time. --show-dir puts the
report into that folder, with a picture of every image.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet import zoo
from hrdet.command_line import (
    CHECKPOINT_HELP,
    Parser,
    add_drawing_options,
    add_run_options,
    add_speed_options,
    speed_options,
)
from hrdet.config import load_config
from hrdet.registry import ConfigError

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.evaluation import Evaluator


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    add_run_options(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help=f'{CHECKPOINT_HELP}; a published model has its own'
    )
    parser.add_argument(
        '--eval',
        nargs='+',
        metavar='METRIC',
        help="what the evaluator measures, such as bbox segm or mIoU (default: the config's)",
    )
    parser.add_argument('--out', help='file or folder for the results, see above')
    parser.add_argument(
        '--out-item',
        choices=('pred', 'metrics'),
        default='pred',
        help='what --out gets: the results (default), or the metrics (.json or .pkl)',
    )
    parser.add_argument(
        '--tta',
        '--aug-test',
        action='store_true',
        help='test-time augmentation: the scales and mirror images that the config has for it, or '
        'each image and its mirror image',
    )
    parser.add_argument(
        '--format-only',
        action='store_true',
        help="no metrics: write the files that the data set's evaluation server takes to --out "
        '(Cityscapes, ADE20K, LoveDA)',
    )
    parser.add_argument('--work-dir', help="folder of metrics.json (default: the config's)")
    parser.add_argument('--show-dir', help='folder for the report and a picture of every image')
    parser.add_argument('--no-report', action='store_true', help='write no report.html')
    add_drawing_options(parser)
    add_speed_options(parser)
    args = parser.parse_intermixed_args()
    published = zoo.named(args.config)
    if args.checkpoint is None and published is None:
        parser.error('give the checkpoint after the config; only a published model has its own')
    args.checkpoint = args.checkpoint or published.name
    return args


def test(args: argparse.Namespace, launcher: str, force_cpu: bool) -> None:
    """Test in one process; ``run_tool.run`` calls it."""
    from hrdet.distributed import rank
    from hrdet.engine.build import TestOptions, build_tester
    from hrdet.evaluation import error_numbers, mmdetection_names
    from hrdet.structures.result_files import write_plain
    from hrdet.visualize import Report, Style

    # 1. Check options and build everything before the first prediction.
    if args.format_only and (args.eval or args.out_item == 'metrics'):
        raise ConfigError('--format-only computes no metrics: leave --eval and --out-item out')
    if args.out_item == 'metrics' and Path(args.out or '').suffix not in ('.json', '.pkl'):
        raise ConfigError('--out-item metrics: --out names a .json or .pkl file for them')
    config = load_config(args.config, args.cfg_options)
    evaluate, speed = not args.format_only, speed_options(args)
    options = TestOptions(args.eval, speed, args.tta, evaluate, args.check_images)
    tester = build_tester(config, args.checkpoint, options, launcher, force_cpu)
    evaluator, work_dir = tester.evaluator, Path(args.work_dir or tester.work_dir)
    results = args.out if args.out_item == 'pred' else None
    consumers = []
    if args.format_only:
        results = results or str(work_dir / 'format_results')
        consumers.append(tester.loader.dataset.server_files(results))
    elif results:
        evaluator.write_to(results)
    # 2. Predict; every result goes to the evaluator, the writer and the pictures.
    report = None
    if args.show_dir or not (args.no_report or args.format_only):
        style = Style.of(args, tester.loader.dataset.classes)
        folder = Path(args.show_dir or metrics_path(args, work_dir).parent / 'report')
        report = Report(tester.loader, folder, args.score_thr, style, bool(args.show_dir))
    metrics = tester.run(*consumers, *filter(None, [report]))
    named = metrics | mmdetection_names(metrics)
    left_out = tester.loader.dataset.left_out()
    # 3. Write metrics, results and the report.
    if evaluator is not None and rank() == 0:
        write_files(evaluator, named, results, metrics_path(args, work_dir))
    elif rank() == 0:
        logging.getLogger('hrdet').info(f'results: {results}')
    if report:
        about = f'{Path(args.config).name}, {Path(args.checkpoint).name},'
        for file in report.write(evaluator, metrics, about):
            logging.getLogger('hrdet').info(f'look at: {file}')
        if report.details:
            write_plain(metrics_path(args, work_dir), named | error_numbers(report.details))
    for line in left_out if rank() == 0 else ():
        logging.getLogger('hrdet').warning(line)


def metrics_path(args: argparse.Namespace, work_dir: Path) -> Path:
    """The file of the metrics."""
    if args.out_item == 'metrics':
        return Path(args.out)
    folder = Path(args.out).parent if args.out and not args.work_dir else work_dir
    return folder / 'metrics.json'


def write_files(
    evaluator: Evaluator, metrics: dict[str, float], results: str | None, path: Path
) -> None:
    """Write the metrics of an evaluation, and its results if ``results`` names a file."""
    from hrdet.structures.result_files import write_plain

    logger = logging.getLogger('hrdet')
    if results:
        evaluator.write(results)
        logger.info(f'results: {results}')
    write_plain(path, metrics)
    logger.info(f'metrics: {path}')


def main() -> None:
    """Run the command."""
    args = parse_args()
    from hrdet.run_tool import run

    run(test, args)


if __name__ == '__main__':
    main()
