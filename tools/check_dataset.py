"""List everything that is wrong with a data set: its annotations and every image file.

    python tools/check_dataset.py PATH                        what tools/train.py --data PATH takes
    python tools/check_dataset.py --config CONFIG             the data sets of a config
    python tools/check_dataset.py annotations.json IMAGES     COCO; a folder or a .zip
    python tools/check_dataset.py ImageSets/Main/train.txt VOC_ROOT
    python tools/check_dataset.py IMAGES LABEL_MAPS --classes road,car,sky

PATH is recognised: YOLO, COCO (a folder, a .json, a .zip), VOC, labelme, images with label maps,
class folders (also in a .zip or .tar); the first line says what it is taken for.  Of each part
problems are listed, then labels of each class and sizes, and of label maps values and shares; then
images that two parts share.  --browse draws the labels of up to 500 images of each part on a page,
browse/index.html, with filters by class and part.

The exit status is 1 if there is an error, that is, something that stops training.  Missing masks
stop the training of a config that loads masks; without --config they are not needed, and broken
polygons are warnings.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser
from hrdet.config import load_config, lower
from hrdet.messages import plural
from hrdet.progress import track
from hrdet.registry import ConfigError

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.config import RunConfig
    from hrdet.data.datasets.check import DatasetCheck


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options; without --config there is a path."""
    parser = Parser(__doc__)
    parser.add_argument(
        'annotations',
        nargs='?',
        metavar='PATH',
        help='folder, data.yaml, .json, .zip or .tar; VOC .txt; images of label maps',
    )
    parser.add_argument(
        'images',
        nargs='?',
        metavar='IMAGES',
        help='images of a .json; VOC folder of a .txt; label maps of images',
    )
    parser.add_argument(
        '--browse',
        nargs='?',
        const='browse',
        metavar='FOLDER',
        help='write a page with pictures of the labels, doubtful images first (browse)',
    )
    parser.add_argument('--config', help='check the data sets of this config instead')
    parser.add_argument('--no-images', action='store_true', help='check annotations only')
    parser.add_argument(
        '--labels', default='labels.png', help='picture of the labels to write (%(default)s)'
    )
    maps = parser.add_argument_group('label maps')
    maps.add_argument(
        '--classes', help='names separated by commas, a file with one a line, or a known data set'
    )
    maps.add_argument('--img-suffix', help='end of the images (.jpg)')
    maps.add_argument('--seg-map-suffix', help='end of the label maps (.png)')
    maps.add_argument('--reduce-zero-label', action='store_true', help='0 is ignored, 1 is class 0')
    maps.add_argument('--ignore-index', type=int, help='a value that is ignored, beside 255')
    args = parser.parse_args(arguments)
    if (args.annotations is None) == (args.config is None):
        parser.error('give either PATH or --config')
    if args.annotations and args.annotations.endswith('.py'):
        parser.error(f'{args.annotations} is a config: write --config {args.annotations}')
    if args.annotations and args.annotations.endswith('.txt') and args.images is None:
        parser.error('a .txt list needs the VOC folder after it')
    if args.images and not args.annotations.endswith(('.json', '.txt')) and not args.classes:
        parser.error('label maps need --classes')
    return args


def data_sets(args: argparse.Namespace) -> Iterator[DatasetCheck]:
    """The data sets that the command line names, each once."""
    from hrdet.data.datasets.check import open_coco, open_voc

    path = args.annotations
    if args.config is not None:
        run = lower(load_config(args.config))
        yield from _of_config(run)
    elif path.endswith('.txt'):
        yield open_voc(path, args.images)
    elif path.endswith('.json') and (args.images or args.no_images):
        yield open_coco(path, args.images)
    elif args.images:
        yield _label_maps(args)
    else:
        yield from _of_parts(path)


def _of_parts(path: str) -> Iterator[DatasetCheck]:
    """The parts of what lies at a path, recognised as for a training."""
    from hrdet.data import ClassFolders
    from hrdet.data.datasets.check import DatasetCheck
    from hrdet.data.errors import collecting
    from hrdet.finetune import open_parts

    with collecting([]):  # the checks of the parts tell the same
        inside = '.tar' in path or ('.zip' in path and not path.endswith('.zip'))
        text, parts = ('', {}) if inside else open_parts(path)
    if inside:
        yield DatasetCheck(ClassFolders, dict(data_prefix=path))
    print(text, end='\n' if text else '')
    for part, (kind, arguments) in parts.items():
        yield DatasetCheck(kind, arguments, part)


def _label_maps(args: argparse.Namespace) -> DatasetCheck:
    """Two folders, of the classes that the command line names."""
    from hrdet.data import LabelMapDataset
    from hrdet.data.datasets.check import DatasetCheck
    from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES
    from hrdet.data.errors import DataError
    from hrdet.registry import registered

    options = {
        'img_suffix': args.img_suffix,
        'seg_map_suffix': args.seg_map_suffix,
        'reduce_zero_label': args.reduce_zero_label or None,
        'ignore_index': args.ignore_index,
    }
    kind = LabelMapDataset
    if args.classes in SEGMENTATION_SOURCES:
        kind = registered(SEGMENTATION_SOURCES[args.classes].type)
    else:
        listed = Path(args.classes).is_file()
        if not listed and ',' not in args.classes:  # label maps of one class teach nothing
            raise DataError(
                f'--classes {args.classes}: there is no such file, and no known data set of this '
                f'name ({", ".join(SEGMENTATION_SOURCES)}); names are separated by commas'
            )
        options['classes'] = args.classes if listed else tuple(args.classes.split(','))
    return DatasetCheck(kind, dict(img_dir=args.annotations, ann_dir=args.images, **options))


def _of_config(run: RunConfig) -> Iterator[DatasetCheck]:
    """The data sets of a config, each once, with what its evaluators ask."""
    import hrdet.evaluation  # noqa: F401, registers the evaluators
    from hrdet.data.datasets.check import examine

    for text in run.warnings:
        print(f'warning: {text}')
    checks: dict[frozenset, DatasetCheck] = {}
    for section in filter(None, (run.train, run.val, run.test)):
        nodes = list(_nodes(section['dataset']))
        for node in nodes:
            files = frozenset((key, value) for key, value in node.items() if isinstance(value, str))
            if files not in checks:
                checks[files] = examine(node)
            evaluator, known = section.get('evaluator'), checks[files].evaluators
            if evaluator is not None and len(nodes) == 1 and evaluator not in known:
                known.append(evaluator)
    yield from checks.values()


def _nodes(tree: Any) -> Iterator[dict]:
    """The nodes of data sets in a tree of wrappers."""
    if isinstance(tree, dict):
        if 'transforms' in tree:
            yield tree
            return
        tree = tree.values()
    if not isinstance(tree, (str, bytes)) and isinstance(tree, Iterable):
        for child in tree:
            yield from _nodes(child)


def report(check: DatasetCheck, with_images: bool) -> int:
    """Print what is wrong with one data set; the number of errors."""
    if with_images:
        workers = min(8, len(os.sched_getaffinity(0))) if hasattr(os, 'sched_getaffinity') else 2
        for _ in track(check.check_images(workers), check.name, total=len(check)):
            pass
    check.check_evaluators()
    for problem in check.problems:
        print(f'{"error" if problem.fatal else "warning"}: {problem}')
    errors = sum(problem.fatal for problem in check.problems)
    if check.summary():
        print(f'{check.name}: {check.summary()}')
    warnings = plural(len(check.problems) - errors, 'warning')
    print(f'{check.name}: {plural(errors, "error")}, {warnings}')
    return errors


def draw_labels(checks: Sequence[DatasetCheck], file: Path) -> None:
    """The picture of the labels of all data sets that could be opened."""
    from hrdet.visualize.run_pictures import attempt
    from hrdet.visualize.run_pictures import draw_labels as draw

    sets = {check.name: check.dataset for check in checks if check.dataset is not None}
    if attempt(draw, sets, file=file) and file.exists():
        print(f'picture of the labels: {file}')


def browse(checks: Sequence[DatasetCheck], folder: Path) -> None:
    """The page with pictures of all data sets that could be opened."""
    from hrdet.visualize.browse import write_browser

    sets = {check.part or check.name: check.dataset for check in checks if check.dataset}
    problems = [problem for check in checks for problem in check.problems]
    print(f'look at: {write_browser(sets, problems, folder)}')


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    args = parse_args(arguments)
    from hrdet.data import DataError  # slow to import: not for --help
    from hrdet.data.datasets.check import shared_images

    try:
        checks = list(data_sets(args))
        errors = [report(check, not args.no_images) for check in checks]
        for problem in shared_images(checks):
            print(f'warning: {problem}')
        draw_labels(checks, Path(args.labels))
        if args.browse:
            browse(checks, Path(args.browse))
    except (ConfigError, DataError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 1 if any(errors) else 0


if __name__ == '__main__':
    raise SystemExit(main())
