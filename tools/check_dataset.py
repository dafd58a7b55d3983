"""List everything that is wrong with a data set: annotations, and image files one by one.

    python tools/check_dataset.py annotations.json [IMAGES]   COCO; a folder or a .zip
    python tools/check_dataset.py VOC_ROOT                    VOC; every ImageSets/Main/*.txt
    python tools/check_dataset.py ImageSets/Main/train.txt VOC_ROOT
    python tools/check_dataset.py --config CONFIG             the data sets of a config

Ends with status 1 if there is an error, that is, something that stops training.  Missing masks stop
the training of a config that loads masks; without --config they are not asked for, and broken
polygons are warnings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
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
    parser.add_argument('--no-images', action='store_true', help='look at annotations only')
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
        lowered = lower(load_config(args.config))
        seen = set()
        for split in (lowered.train_dataset, lowered.val_dataset, lowered.test_dataset):
            for node in _leaves(split):
                key = (node['ann_file'], node.get('img_prefix', ''))
                if key not in seen:
                    seen.add(key)
                    yield _open(node, *key)
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


def _open(node: dict, ann_file: str, img_prefix: str) -> DatasetCheck:
    """The data set of a config's node; masks matter where it is going to load them."""
    from hrdet.data.datasets.check import open_coco, open_voc

    if node['type'] == 'VOCDataset':
        return open_voc(ann_file, img_prefix, node.get('classes'))
    with_mask = node.get('with_mask', False) and not node.get('test_mode', False)
    return open_coco(ann_file, img_prefix, node.get('classes'), with_mask)


def _leaves(node: Any) -> Iterator[dict]:
    """The data sets with files of their own in a tree of wrappers."""
    if isinstance(node, dict) and 'ann_file' in node:
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _leaves(child)


def report(check: DatasetCheck, with_images: bool) -> int:
    """Print what is wrong with one data set; the number of errors."""
    if check.table is not None and check.images is not None and with_images:
        steps = check.check_images()
        for _ in track(steps, check.name, total=len(check.table.file_names)):
            pass
    for problem in check.problems:
        print(f'{"error" if problem.fatal else "warning"}: {problem}')
    errors = sum(problem.fatal for problem in check.problems)
    if check.table is not None:
        images = counted(len(check.table.file_names), 'image')
        counts = ', '.join(f'{name} {count}' for name, count in check.class_counts().items())
        print(f'{check.name}: {images}; boxes by class: {counts}')
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
