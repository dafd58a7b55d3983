"""Test a model on the data set ``data.test`` of its config.

    python tools/test.py CONFIG CHECKPOINT
    python tools/test.py CONFIG CHECKPOINT --gpus 4 --eval bbox segm --out result.pkl
    python tools/test.py CONFIG CHECKPOINT --eval mIoU mDice --tta --show-dir shown
    python tools/test.py CONFIG CHECKPOINT --format-only --out for_the_server

The config's evaluator prints its metrics, which metrics.json in the work folder (or beside --out)
holds unrounded, and writes the results:

    detection       --eval bbox segm proposal proposal_fast; --out .json is COCO's result format,
                    .pkl the lists of the 2019 release
    classification  --eval accuracy; --out .json or .pkl is a list with pred_label, pred_class,
                    pred_score, top5 and gt_label of every image
    segmentation    --eval mIoU mDice mFscore; --out is a folder of PNGs, the class of each pixel
                    as its number

--show-dir gets a picture of every image with its result, contact_sheet.png, some of them beside the
truth (of classes and label maps the worst first), and of up to 50 classes confusion_matrix.png.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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
    from torch.utils.data import DataLoader

    from hrdet.evaluation import Evaluator
    from hrdet.structures import ImageMeta
    from hrdet.visualize import Style


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    add_run_options(parser)
    parser.add_argument('checkpoint', help=CHECKPOINT_HELP)
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
    parser.add_argument('--show-dir', help='folder for pictures of the results')
    add_drawing_options(parser)
    add_speed_options(parser)
    return parser.parse_args()


def test(args: argparse.Namespace, launcher: str, force_cpu: bool) -> None:
    """Test in one process; ``run_tool.run`` calls it."""
    from hrdet.distributed import rank
    from hrdet.engine.build import build_tester
    from hrdet.visualize import Style

    # 1. Check options and build everything before the first prediction.
    if args.format_only and (args.eval or args.out_item == 'metrics'):
        raise ConfigError('--format-only computes no metrics: leave --eval and --out-item out')
    if args.out_item == 'metrics' and Path(args.out or '').suffix not in ('.json', '.pkl'):
        raise ConfigError('--out-item metrics: --out names a .json or .pkl file for them')
    tester = build_tester(
        load_config(args.config, args.cfg_options),
        args.checkpoint,
        args.eval,
        launcher,
        force_cpu,
        speed_options(args),
        args.tta,
        not args.format_only,
        args.check_images,
    )
    evaluator, work_dir = tester.evaluator, Path(args.work_dir or tester.work_dir)
    results = args.out if args.out_item == 'pred' else None
    consumers = []
    if args.format_only:
        results = results or str(work_dir / 'format_results')
        consumers.append(tester.loader.dataset.server_files(results))
    elif results:
        evaluator.write_to(results)
    # 2. Predict; every result goes to the evaluator, the writer and the pictures.
    pictures = None
    if args.show_dir:
        style = Style.of(args, tester.loader.dataset.classes)
        pictures = Pictures(tester.loader, Path(args.show_dir), args.score_thr, style)
    metrics = tester.run(*consumers, *filter(None, [pictures]))
    # 3. Write metrics, results and the contact sheet.
    if evaluator is not None and rank() == 0:
        write_files(evaluator, metrics, results, metrics_path(args, work_dir))
    elif rank() == 0:
        logging.getLogger('hrdet').info(f'results: {results}')
    if pictures:
        pictures.write_sheet(evaluator)


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


class Entry(NamedTuple):
    """An image that may be on the contact sheet."""

    score: float | None  # of its result against the truth; None if the task has none
    index: int
    meta: ImageMeta
    result: Any


class Pictures:
    """Draws every result as it comes, and some of them beside the truth at the end.

    Args:
        loader: of this process's share of the data set.
        folder: where pictures go, of the original size, named by the number of the image.
        score_thr: least score drawn.
        style: how results are drawn.
        limit: images on the contact sheet: of results that are compared with the truth the worst
            ones first, for half of the sheet; the others taken evenly from all.
    """

    def __init__(
        self,
        loader: DataLoader,
        folder: Path,
        score_thr: float,
        style: Style | None = None,
        limit: int = 12,
    ) -> None:
        self.dataset, self.folder, self.score_thr = loader.dataset, folder, score_thr
        self.style = dict(style=style) if style is not None else {}
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
        options = dict(palette=self.dataset.palette, truth=truth, **self.style)
        save_picture(image, result, path, self.dataset.classes, self.score_thr, **options)
        verdict = compare(result, truth, self.score_thr)
        entry = Entry(None if verdict is None else verdict.score, index, meta, result)
        if index in self.on_sheet:
            self.spread.append(entry)
        if verdict is not None:
            self.worst = _worst([*self.worst, entry], self.limit // 2)

    def write_sheet(self, evaluator: Evaluator | None) -> None:
        """``contact_sheet.png``, of the images of all processes, and ``confusion_matrix.png``."""
        from hrdet.distributed import gather_objects
        from hrdet.visualize import Pair, contact_sheet, plot_confusion
        from hrdet.visualize.confusion import MAX_CLASSES
        from hrdet.visualize.draw import write_image

        shares = gather_objects((self.worst, self.spread))
        if shares is None:
            return
        worst = _worst([entry for share in shares for entry in share[0]], self.limit // 2)
        shown = {entry.index for entry in worst}
        others = [e for share in shares for e in share[1] if e.index not in shown]
        if worst:  # as many as there is room for, evenly
            room = min(self.limit - len(worst), len(others))
            others = [others[i * len(others) // room] for i in range(room)]
            others = _worst(others, room)
        pairs = [
            Pair(Path(meta.path).name, self.dataset.image(i), result, self.dataset.truth(i))
            for _, i, meta, result in [*worst, *others]
        ]
        options = dict(score_thr=self.score_thr, palette=self.dataset.palette, **self.style)
        sheet = contact_sheet(pairs, self.dataset.classes, **options)
        write_image(self.folder / 'contact_sheet.png', sheet)
        details = {} if evaluator is None else evaluator.details(self.score_thr)
        for kind, one in details.items():
            if one.confusion is not None and len(one.classes) <= MAX_CLASSES:
                name = '_'.join(filter(None, ['confusion_matrix', kind]))
                plot_confusion(one.confusion, one.classes, self.folder / f'{name}.png')


def _worst(entries: list[Entry], count: int) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.score, entry.index))[:count]


def main() -> None:
    """Run the command."""
    args = parse_args()
    from hrdet.run_tool import run

    run(test, args)


if __name__ == '__main__':
    main()
