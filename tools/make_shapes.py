"""Make the generated data set of textured shapes, in COCO's layout.

python tools/make_shapes.py --out data/shapes --train 800 --val 200 --size 192 256 --seed 0
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser
from hrdet.wording import counted


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('--out', required=True, help='folder to write into')
    parser.add_argument('--train', type=int, default=800, help='training images')
    parser.add_argument('--val', type=int, default=200, help='held-out images')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(192, 256), metavar=('H', 'W'), help='pixels'
    )
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


if __name__ == '__main__':
    args = parse_args()
    from hrdet.data.shapes import make_shapes  # slow to import: not for --help

    try:
        paths = make_shapes(args.out, args.train, args.val, tuple(args.size), args.seed)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{counted(args.train, "image")}: {paths.train_ann}')
    print(f'{counted(args.val, "image")}: {paths.val_ann}')
