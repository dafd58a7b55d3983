"""Test a model on the data set ``data.test`` of its config.

    python tools/test.py CONFIG CHECKPOINT --eval bbox
    python tools/test.py CONFIG CHECKPOINT --gpus 4 --eval bbox --out result.pkl

The config's evaluator prints its metrics and writes --out: for detections .json is COCO's result
format, .pkl the lists of the 2019 release.  --show-dir gets a picture of every image with its
result, and contact_sheet.png, some of them beside the truth.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, add_run_options, add_speed_options, speed_options
from hrdet.config import load_config
from hrdet.registry import ConfigError

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from torch.utils.data import DataLoader

    from hrdet.structures import ImageMeta


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    add_run_options(parser)
    parser.add_argument('checkpoint', help='weights: hrdet, mmdetection 1-3 or the HRNet release')
    parser.add_argument(
        '--eval',
        nargs='+',
        metavar='METRIC',
        help="what the config's evaluator measures, such as bbox segm (default: the config's)",
    )
    parser.add_argument('--out', help='file for the results (of detections: .pkl or .json)')
    parser.add_argument('--show-dir', help='folder for pictures of the results')
    parser.add_argument(
        '--show-score-thr', type=float, default=0.3, help='least score drawn (%(default)s)'
    )
    add_speed_options(parser)
    return parser.parse_args()


def test(args: argparse.Namespace, launcher: str, force_cpu: bool) -> None:
    """The work of one process."""
    from hrdet.distributed import rank
    from hrdet.engine.build import build_tester

    config, speed = load_config(args.config, args.cfg_options), speed_options(args)
    tester = build_tester(config, args.checkpoint, args.eval, launcher, force_cpu, speed)
    formats = tester.evaluator.formats
    if args.out and Path(args.out).suffix not in formats:
        raise ConfigError(f'--out {args.out}: the results are written as {" or ".join(formats)}')
    pictures = args.show_dir and Pictures(tester.loader, Path(args.show_dir), args.show_score_thr)
    tester.run(*filter(None, [pictures]))
    if args.out and rank() == 0:
        tester.evaluator.write(args.out)
        logging.getLogger('hrdet').info(f'results: {args.out}')
    if pictures:
        pictures.write_sheet()


class Pictures:
    """Draws every result as it comes, and some of them beside the truth at the end.

    Args:
        loader: of this process's share of the data set.
        folder: where pictures go, of the original size, named by the number of the image.
        score_thr: least score drawn.
        limit: images on the contact sheet, taken evenly from all.
    """

    def __init__(self, loader: DataLoader, folder: Path, score_thr: float, limit: int = 12) -> None:
        self.dataset, self.folder, self.score_thr = loader.dataset, folder, score_thr
        self.indices = iter(loader.batch_sampler.indices)
        last = len(self.dataset) - 1
        self.on_sheet = {round(i * last / max(1, limit - 1)) for i in range(limit)}
        self.sheet_entries: list[tuple[int, ImageMeta, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def update(self, meta: ImageMeta, result: Any) -> None:
        """Draw the result of an image."""
        from hrdet.visualize import save_picture

        index, result = next(self.indices), result.numpy()
        path = self.folder / f'{index:06d}_{Path(meta.path).stem}.jpg'
        save_picture(self.dataset.image(index), result, path, self.dataset.classes, self.score_thr)
        if index in self.on_sheet:
            self.sheet_entries.append((index, meta, result))

    def write_sheet(self) -> None:
        """``contact_sheet.png``, of the images of all processes."""
        from hrdet.distributed import gather_objects
        from hrdet.visualize import Pair, contact_sheet
        from hrdet.visualize.draw import write_image

        shares = gather_objects(self.sheet_entries)
        if shares is None:
            return
        pairs = [
            Pair(Path(meta.path).name, self.dataset.image(i), result, self.dataset.truth(i))
            for share in shares
            for i, meta, result in share
        ]
        sheet = contact_sheet(pairs, self.dataset.classes, self.score_thr)
        write_image(self.folder / 'contact_sheet.png', sheet)


def main() -> None:
    """The whole command."""
    args = parse_args()
    from hrdet.run_tool import run

    run(test, args)


if __name__ == '__main__':
    main()
