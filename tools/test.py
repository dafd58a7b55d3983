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
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, add_run_options, add_speed_options, speed_options
from hrdet.config import load_config
from hrdet.registry import ConfigError

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    import numpy as np
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
        matrix = tester.evaluator.confusion_matrix()
        if matrix is not None and rank() == 0:
            pictures.write_confusion(matrix)


class Entry(NamedTuple):
    """An image that may be on the contact sheet."""

    score: float | None  # how right its result is; None where that is not said
    index: int
    meta: ImageMeta
    result: Any


class Pictures:
    """Draws every result as it comes, and some of them beside the truth at the end.

    Args:
        loader: of this process's share of the data set.
        folder: where pictures go, of the original size, named by the number of the image.
        score_thr: least score drawn.
        limit: images on the contact sheet: of results that are compared with the truth the worst
            ones first, for half of the sheet; the others taken evenly from all.
    """

    def __init__(self, loader: DataLoader, folder: Path, score_thr: float, limit: int = 12) -> None:
        self.dataset, self.folder, self.score_thr = loader.dataset, folder, score_thr
        self.indices, self.limit = iter(loader.batch_sampler.indices), limit
        last = len(self.dataset) - 1
        self.on_sheet = {round(i * last / max(1, limit - 1)) for i in range(limit)}
        self.spread: list[Entry] = []
        self.worst: list[Entry] = []
        folder.mkdir(parents=True, exist_ok=True)

    def update(self, meta: ImageMeta, result: Any) -> None:
        """Draw the result of an image."""
        from hrdet.visualize import compare, save_picture

        index, result = next(self.indices), result.numpy()
        path = self.folder / f'{index:06d}_{Path(meta.path).stem}.jpg'
        image, truth = self.dataset.image(index), self.dataset.truth(index)
        options = dict(palette=self.dataset.palette, truth=truth)
        save_picture(image, result, path, self.dataset.classes, self.score_thr, **options)
        verdict = compare(result, truth)
        entry = Entry(None if verdict is None else verdict.score, index, meta, result)
        if index in self.on_sheet:
            self.spread.append(entry)
        if verdict is not None:
            self.worst = _worst([*self.worst, entry], self.limit // 2)

    def write_sheet(self) -> None:
        """``contact_sheet.png``, of the images of all processes."""
        from hrdet.distributed import gather_objects
        from hrdet.visualize import Pair, contact_sheet
        from hrdet.visualize.draw import write_image

        shares = gather_objects((self.worst, self.spread))
        if shares is None:
            return
        worst = _worst([entry for share in shares for entry in share[0]], self.limit // 2)
        shown = {entry.index for entry in worst}
        others = [e for share in shares for e in share[1] if e.index not in shown]
        others = _worst(others, self.limit - len(worst)) if worst else others
        pairs = [
            Pair(Path(meta.path).name, self.dataset.image(i), result, self.dataset.truth(i))
            for _, i, meta, result in [*worst, *others]
        ]
        options = dict(score_thr=self.score_thr, palette=self.dataset.palette)
        sheet = contact_sheet(pairs, self.dataset.classes, **options)
        write_image(self.folder / 'contact_sheet.png', sheet)

    def write_confusion(self, matrix: np.ndarray) -> None:
        """``confusion_matrix.png``, of at most 50 classes."""
        from hrdet.visualize import plot_confusion
        from hrdet.visualize.confusion import MAX_CLASSES

        if len(matrix) <= MAX_CLASSES:
            path = self.folder / 'confusion_matrix.png'
            plot_confusion(matrix, self.dataset.classes, path)


def _worst(entries: list[Entry], count: int) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.score, entry.index))[:count]


def main() -> None:
    """The whole command."""
    args = parse_args()
    from hrdet.run_tool import run

    run(test, args)


if __name__ == '__main__':
    main()
