"""Convert a data set: labels to another format, or a download to the layout that configs name.

    python tools/convert_dataset.py SRC DST --to coco | voc | yolo
    python tools/convert_dataset.py NAME RAW OUT

SRC is labelled images, which are recognised: COCO (also .zip; of CVAT, Label Studio, Roboflow), VOC
(also XML files beside images), YOLO (data.yaml, or its folder) or labelme.

NAME is a segmentation data set: cityscapes, voc12aug, pascal_context, loveda, potsdam, vaihingen,
isaid; RAW is the folder of its download, whose archives may stay packed:

    python tools/convert_dataset.py cityscapes DOWNLOAD data/cityscapes
    python tools/convert_dataset.py voc12aug benchmark_RELEASE data/VOCdevkit/VOC2012
    python tools/convert_dataset.py pascal_context FOLDER_OF_JSON data/VOCdevkit/VOC2010
    python tools/convert_dataset.py loveda DOWNLOAD data/loveDA
    python tools/convert_dataset.py potsdam DOWNLOAD data/potsdam
    python tools/convert_dataset.py vaihingen DOWNLOAD data/vaihingen
    python tools/convert_dataset.py isaid DOWNLOAD data/iSAID

Nothing is overwritten, and a conversion of a download that fails leaves nothing behind.  VOC 2012,
ADE20K and CamVid come in the layout that the configs expect.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, count


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('paths', metavar='PATH', nargs='+', help='SRC DST, or NAME RAW OUT')
    parser.add_argument('--to', choices=('coco', 'voc', 'yolo'), help='format to write labels in')
    parser.add_argument('--processes', type=count, help='default: one for each core, at most 8')
    args = parser.parse_args(arguments)
    if args.to and len(args.paths) != 2:
        parser.error('--to takes two paths: SRC DST --to FORMAT')
    if not args.to and len(args.paths) != 3:
        parser.error('give NAME RAW OUT, or SRC DST --to coco | voc | yolo')
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert, and print what was made."""
    args = parse_args(arguments)
    from hrdet.data import DataError, DataWarning  # slow to import: not for --help
    from hrdet.data.conversion import CONVERTERS, convert
    from hrdet.data.formats import convert_labels

    warnings.showwarning = lambda message, *_: print(f'warning: {message}', file=sys.stderr)
    warnings.simplefilter('always', DataWarning)
    try:
        if args.to:
            print(convert_labels(*args.paths, args.to))
            return
        name, raw, out = args.paths
        if name not in CONVERTERS:
            names = ', '.join(CONVERTERS)
            raise SystemExit(
                f'error: NAME: no conversion for {name!r}; there are {names}. VOC 2012, '
                f'ADE20K and CamVid come in the layout that the configs expect'
            )
        print(convert(name, Path(raw), Path(out), args.processes))
    except DataError as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
