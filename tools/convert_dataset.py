"""Make a segmentation data set's folders of images and label maps from its download.

    python tools/convert_dataset.py cityscapes DOWNLOAD data/cityscapes
    python tools/convert_dataset.py voc12aug benchmark_RELEASE data/VOCdevkit/VOC2012
    python tools/convert_dataset.py pascal_context FOLDER_OF_JSON data/VOCdevkit/VOC2010
    python tools/convert_dataset.py loveda DOWNLOAD data/loveDA
    python tools/convert_dataset.py potsdam DOWNLOAD data/potsdam
    python tools/convert_dataset.py vaihingen DOWNLOAD data/vaihingen
    python tools/convert_dataset.py isaid DOWNLOAD data/iSAID

Archives may stay packed.  Nothing is overwritten, and a conversion that fails leaves nothing
behind.  ADE20K and CamVid come in the layout that the configs expect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, count


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('name', metavar='NAME', help='the data set, one of the names above')
    parser.add_argument('raw', metavar='RAW', type=Path, help='folder of the download')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder of the data set')
    parser.add_argument('--processes', type=count, help='default: one for each core, at most 8')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert, and print what was made."""
    args = parse_args(arguments)
    from hrdet.data import DataError  # slow to import: not for --help
    from hrdet.data.conversion import CONVERTERS, convert

    if args.name not in CONVERTERS:
        names = ', '.join(CONVERTERS)
        raise SystemExit(f'error: NAME: no conversion for {args.name!r}; there are {names}')
    try:
        print(convert(args.name, args.raw, args.out, args.processes))
    except DataError as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
