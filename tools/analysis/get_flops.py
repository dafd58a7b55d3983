"""Parameters and multiply-accumulates of a detector, classifier or segmentor, part by part.

    python tools/analysis/get_flops.py CONFIG
    python tools/analysis/get_flops.py CONFIG --shape 512 768 --rois 1000
    python tools/analysis/get_flops.py CONFIG --release-units

Convolutions and matrix products are counted, without biases; one multiply-accumulate is one.
With --release-units the two totals have the units of HRNet's tables: "M" is 2^20 and "GFLOPs" are
2^30 multiply-accumulates, cut after the first decimal.  Regions pass through the heads of all
stages.  No weights, data or GPU are needed.

"Flops" are what the tables of classifiers (mmpretrain) print: backbone and neck without the head,
multiply-accumulates and operations on single elements (norms two, ReLU, resizing and pooling one).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.command_line import CONFIG_HELP, Parser, add_cfg_options
from hrdet.config import load_config, lower, with_num_classes
from hrdet.messages import plural
from hrdet.registry import ConfigError, build

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.models.flops import Cost

COCO_CLASSES = 80  # where the classes come from files, which are not read here


def parse_args() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='height and width of the network input (default: 800 1216 for detectors, 224 224 for '
        'classifiers, 512 1024 for segmentors)',
    )
    parser.add_argument(
        '--rois', type=int, default=500, help='regions through the box heads (default: 500)'
    )
    parser.add_argument(
        '--masks', type=int, default=100, help='regions through the mask heads (default: 100)'
    )
    parser.add_argument('--release-units', action='store_true', help="units of HRNet's tables")
    add_cfg_options(parser)
    args = parser.parse_args()
    if min(*(args.shape or (1,)), args.rois, args.masks) < 1:
        parser.error('--shape, --rois and --masks must be at least 1')
    return args


def cost_of(config: str | Path, options: Mapping[str, Any] | None = None, **counted: Any) -> Cost:
    """The cost of a config's model; ``counted`` are arguments of ``model_cost``."""
    import torch

    from hrdet.models.flops import model_cost

    run_config = lower(load_config(config, options))
    node = with_num_classes(run_config.model, len(run_config.classes or range(COCO_CLASSES)))
    with torch.device('meta'):  # shapes without values
        model = build(node)
    return model_cost(model, **counted)


def cut(value: int, unit: int) -> str:
    """``value / unit`` with its first decimal, the others cut off."""
    tenths = value * 10 // unit
    return f'{tenths // 10}.{tenths % 10}'


def report(cost: Cost, release_units: bool) -> str:
    """One line a part, and the totals."""
    giga, mega = (2**30, 2**20) if release_units else (10**9, 10**6)
    name = 'GFLOPs' if release_units else 'GMACs'
    lines = [
        f'{part:<13} {macs / giga:9.2f} {name} {macs / cost.total_macs:6.1%}'
        for part, macs in cost.macs.items()
        if macs
    ]
    if release_units:
        params, total = cut(cost.parameters, mega), cut(cost.total_macs, giga)
    else:
        params, total = f'{cost.parameters / mega:.2f}', f'{cost.total_macs / giga:.2f}'
    if cost.feature_flops is not None:
        flops = f'{cost.feature_flops / 10**9:.2f}'
        lines.append(f'Flops {flops} G of backbone and neck, with element-wise layers')
    return '\n'.join([*lines, f'#Params {params}M', f'{name} {total}'])


def main() -> None:
    args = parse_args()
    try:
        cost = cost_of(
            args.config,
            args.cfg_options,
            size=args.shape and tuple(args.shape),
            rois=args.rois,
            masks=args.masks,
            whole_levels=args.release_units,
        )
    except (ConfigError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    numbers = [f'input {cost.size[0]} x {cost.size[1]}']
    numbers += [plural(args.rois, 'region')] if 'rpn_head' in cost.macs else []
    numbers += [plural(args.masks, 'mask')] if 'mask_head' in cost.macs else []
    print(f'{args.config}: {", ".join(numbers)}')
    print(report(cost, args.release_units))


if __name__ == '__main__':
    main()
