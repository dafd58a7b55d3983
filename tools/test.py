"""Test a detector on the data set ``data.test`` of its config.

    python tools/test.py CONFIG CHECKPOINT --eval bbox
    python tools/test.py CONFIG CHECKPOINT --gpus 4 --eval bbox --out result.pkl

The scores are printed in COCO's table.  --out writes the detections: .json is COCO's result format,
.pkl the lists of the 2019 release.  --show-dir gets a picture of every image with the objects found
on it, and contact_sheet.png, some of them beside the truth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, add_run_options, add_speed_options
from hrdet.config import METRICS, load_config
from hrdet.progress import track

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.data import DetectionDataset
    from hrdet.structures import Detections, ImageMeta


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    add_run_options(parser)
    parser.add_argument('checkpoint', help='weights: hrdet, mmdetection 1-3 or the HRNet release')
    parser.add_argument(
        '--eval', nargs='+', choices=METRICS, help="what to measure (default: the config's)"
    )
    parser.add_argument('--out', help='file for the detections, .pkl or .json')
    parser.add_argument('--show-dir', help='folder for pictures of the detections')
    parser.add_argument(
        '--show-score-thr', type=float, default=0.3, help='least score drawn (%(default)s)'
    )
    add_speed_options(parser)
    args = parser.parse_args()
    if args.out:
        from hrdet.evaluation.metric import check_output

        try:
            check_output(args.out)
        except ValueError as error:
            parser.error(f'--out {error}')
    return args


def test(args: argparse.Namespace, launcher: str, force_cpu: bool) -> None:
    """The work of one process."""
    from hrdet.distributed import rank
    from hrdet.engine.build import build_tester
    from hrdet.engine.command import speed_options

    config = load_config(args.config, args.cfg_options)
    speed = speed_options(args)
    runner = build_tester(config, args.checkpoint, args.eval, launcher, force_cpu, speed)
    runner.test()
    if rank() > 0:
        return
    loop = runner.test_loop
    if args.out:
        loop.evaluator.write(args.out)
        runner.logger.info(f'detections: {args.out}')
    if args.show_dir:
        show(loop.dataloader.dataset, loop.predictions, Path(args.show_dir), args.show_score_thr)


def show(
    dataset: DetectionDataset,
    predictions: Sequence[tuple[ImageMeta, Detections]],
    folder: Path,
    score_thr: float,
) -> None:
    """Write pictures of the original size, named by the number of the image."""
    from hrdet.visualize import prediction_sheet, save_picture

    folder.mkdir(parents=True, exist_ok=True)
    prediction_sheet(dataset, predictions, folder / 'contact_sheet.png', score_thr)
    for index, (meta, found) in enumerate(track(predictions, 'pictures')):
        name = f'{index:06d}_{Path(meta.path).stem}.jpg'
        save_picture(dataset.image(index), found, folder / name, dataset.classes, score_thr)


def main() -> None:
    """The whole command."""
    args = parse_args()
    from hrdet.engine.command import run

    run(test, args)


if __name__ == '__main__':
    main()
