"""List everything that is wrong with a data set: its annotations and every image file.

    python tools/check_dataset.py annotations.json [IMAGES]   COCO; a folder or a .zip
    python tools/check_dataset.py VOC_ROOT                    VOC; every ImageSets/Main/*.txt
    python tools/check_dataset.py ImageSets/Main/train.txt VOC_ROOT
    python tools/check_dataset.py --config CONFIG             the data sets of a config

The exit status is 1 if there is an error, that is, something that stops training.  Missing masks
stop the training of a config that loads masks; without --config they are not needed, and broken
polygons are warnings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser
from hrdet.config import load_config, lower
from hrdet.progress import track
from hrdet.registry import ConfigError
from hrdet.wording import counted

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.data.datasets.check import DatasetCheck


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options; without --config there is a path."""
    parser = Parser(__doc__)
    parser.add_argument('annotations', nargs='?', help='COCO .json, VOC .txt, or VOC folder')
    parser.add_argument('images', nargs='?', help='images of a .json; VOC folder of a .txt')
    parser.add_argument('--config', help='check the data sets of this config instead')
    parser.add_argument('--no-images', action='store_true', help='check annotations only')
    args = parser.parse_args(arguments)
    if (args.annotations is None) == (args.config is None):
        parser.error('give either annotations or --config')
    if args.annotations and args.annotations.endswith('.txt') and args.images is None:
        parser.error('a .txt list needs the VOC folder after it')
    return args


def data_sets(args: argparse.Namespace) -> Iterator[DatasetCheck]:
    """The data sets that the command line names, each once."""
    from hrdet.data.datasets.check import open_coco, open_voc

    if args.config is not None:
        run = lower(load_config(args.config)).as_run_config()
        yield from _of_config((run.train, run.val, run.test))
    elif Path(args.annotations).is_dir():
        lists = sorted(Path(args.annotations, 'ImageSets', 'Main').glob('*.txt'))
        if not lists:
            raise SystemExit(f'error: there are no ImageSets/Main/*.txt in {args.annotations}')
        for path in lists:
            yield open_voc(str(path), args.annotations)
    elif args.annotations.endswith('.txt'):
        yield open_voc(args.annotations, args.images)
    else:
        yield open_coco(args.annotations, args.images)


def _of_config(splits: Any) -> Iterator[DatasetCheck]:
    """The data sets in a tree of nodes; of several with the same files the first."""
    from hrdet.data.datasets.check import examine

    seen = set()
    for node in _nodes(splits):
        files = frozenset((key, value) for key, value in node.items() if isinstance(value, str))
        if files not in seen:
            seen.add(files)
            yield examine(node)


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
        for _ in track(check.check_images() if len(check) else (), check.name, total=len(check)):
            pass
    for problem in check.problems:
        print(f'{"error" if problem.fatal else "warning"}: {problem}')
    errors = sum(problem.fatal for problem in check.problems)
    if check.summary():
        print(f'{check.name}: {check.summary()}')
    warnings = counted(len(check.problems) - errors, 'warning')
    print(f'{check.name}: {counted(errors, "error")}, {warnings}')
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    args = parse_args(arguments)
    try:
        errors = [report(check, not args.no_images) for check in data_sets(args)]
    except (ConfigError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from error
    return 1 if any(errors) else 0


if __name__ == '__main__':
    raise SystemExit(main())
