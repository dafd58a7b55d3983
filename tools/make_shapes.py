"""Make the generated data set of textured shapes.

python tools/make_shapes.py --out data/shapes --train 800 --val 200 --size 192 256 --seed 0
python tools/make_shapes.py --out data/shapes_maps --task segmentation
python tools/make_shapes.py --out data/shapes_folders --task classification

Detection is in COCO's layout; segmentation is images with label maps; classification is a folder
for each shape, with a window around each thing of each scene.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, count
from hrdet.messages import plural


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('--out', required=True, help='folder to write into')
    tasks = ('detection', 'segmentation', 'classification')
    parser.add_argument('--task', choices=tasks, default='detection', help='layout')
    parser.add_argument('--train', type=count, default=800, help='training images')
    parser.add_argument('--val', type=count, default=200, help='held-out images')
    parser.add_argument(
        '--size', type=count, nargs=2, default=(192, 256), metavar=('H', 'W'), help='pixels'
    )
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def make(args: argparse.Namespace) -> list[str]:
    """Write the data set; what there is now, in lines."""
    # Slow to import: not for --help.
    from hrdet.data.shapes import make_class_folders, make_label_maps, make_shapes

    options = (args.out, args.train, args.val, tuple(args.size), args.seed)
    if args.task == 'detection':
        paths = make_shapes(*options)
        places = (paths.train_ann, paths.val_ann)
    elif args.task == 'segmentation':
        paths = make_label_maps(*options)
        places = (f'{paths.train_images}, {paths.train_maps}', f'{paths.val_images}, ...')
    else:
        places = make_class_folders(*options)
    kind = 'scene' if args.task == 'classification' else 'image'
    return [
        f'{plural(args.train, kind)}: {places[0]}',
        f'{plural(args.val, kind)}: {places[1]}',
    ]


if __name__ == '__main__':
    try:
        print('\n'.join(make(parse_args())))
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
