"""Convert the weights of a model into another layout, ready to publish.

    python tools/convert_checkpoint.py IN OUT --to hrdet
    python tools/convert_checkpoint.py work_dirs/mine/latest.pth mine.pth --to mmdet3 --hash
    python tools/convert_checkpoint.py htc_w18.pth htc_w18.safetensors --to safetensors

IN is a file of HRNet's releases, timm, mmdetection 0.6 to 3.x, mmpretrain, mmsegmentation or hrdet,
or a name or address of one (docs/model_zoo.md); its keys tell which.  Entries are renamed,
background-first classes become background-last, and rows and channels of the background that no
model uses are removed.  Optimizer state and other entries that only training needs are left
out; half precision becomes float32; module. prefixes are removed.  The tool prints all changes.

    hrdet        the layout of hrdet's own checkpoints (also updates old files)
    mmdet3       the same weights with class names and colours where mmdetection 3 looks for them.
                 It works with continuous boxes: train with model.box_convention='continuous' for it
    mmpretrain   a classifier, with its class names where mmpretrain looks for them
    mmseg        a segmentor, with class names and colours where mmsegmentation looks for them
    official     a classifier or segmentor under the names of HRNet's own releases, which timm has,
                 too: convolutions that have a bias there get one of zeros
    safetensors  hrdet's layout in the safetensors format

hrdet reads all of them.  IN is never changed and is read without running any code in it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import LAYOUTS, Parser


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('source', metavar='IN', help='checkpoint to read')
    parser.add_argument('target', metavar='OUT', help='checkpoint to write')
    parser.add_argument('--to', choices=LAYOUTS, required=True, help='layout of OUT')
    parser.add_argument(
        '--ema',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='of weights with a moving average take the average (default), or, with --no-ema, the '
        'weights that training resumes from',
    )
    parser.add_argument(
        '--hash',
        action='store_true',
        help="end OUT's name in the start of its sha256, as in mine-e368c387.pth; hrdet checks it "
        'when it reads the file',
    )
    parser.add_argument('--force', action='store_true', help='overwrite OUT if it is there')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """The whole command."""
    args = parse_args(arguments)
    from hrdet.checkpoints import CheckpointError, export  # slow to import: not for --help

    try:
        print(export(args.source, args.target, args.to, args.ema, args.hash, args.force))
    except (CheckpointError, OSError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
