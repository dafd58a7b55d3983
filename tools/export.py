"""Write a model as a file that runs without hrdet, and compare the two.

    python tools/export.py CONFIG CHECKPOINT model.onnx
    python tools/export.py CONFIG CHECKPOINT model.pt2 --size 512 1024 --image street.jpg
    python tools/export.py CONFIG CHECKPOINT model.onnx --dynamic batch size

The end of OUT decides: .onnx for onnxruntime and what else reads ONNX, .xml for OpenVINO (weights
are in a .bin beside it), .pt2 for torch.export, .aoti.pt2 for machine code of AOTInductor, which
takes a C++ compiler and minutes.

Images go in as uint8 (N, 3, H, W) in the order blue, green, red; the file normalises them, and
returns class scores, label maps or detections in pixels of its input.  docs/export.md has a script
for each task that needs nothing of hrdet.

In the end the file is run beside the model on --image, or on a generated picture.  The largest
differences and the time of both are printed; a difference above its tolerance is an error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import CHECKPOINT_HELP, CONFIG_HELP, Parser, add_cfg_options, count

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    import numpy as np

    from hrdet.export.files import Arrays
    from hrdet.models.base import BaseModel

RUNS = 5  # of which the fastest counts


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('checkpoint', help=CHECKPOINT_HELP)
    parser.add_argument('out', metavar='OUT', type=Path, help='file to write: *.onnx, *.xml, *.pt2')
    parser.add_argument(
        '--size',
        nargs=2,
        type=count,
        metavar=('H', 'W'),
        help="height and width of the input; default: what the config's test makes of landscapes",
    )
    parser.add_argument(
        '--batch-size', type=count, default=1, help='images of a call (%(default)s)'
    )
    parser.add_argument(
        '--dynamic',
        nargs='+',
        choices=('batch', 'size'),
        default=(),
        help='sides of the input that may differ from call to call; sizes are multiples of 32',
    )
    parser.add_argument('--image', help='picture to compare on; default: a generated one')
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def example(picture: np.ndarray, size: tuple[int, int], number: int, padded: bool) -> Arrays:
    """The inputs of a model, and of its file: ``number`` times a picture."""
    import numpy as np

    from hrdet.export import place

    image, placed = place(picture, size, padded)
    inputs = dict(images=np.stack([image] * number))
    return inputs | (dict(sizes=np.float32([placed] * number)) if padded else {})


def fastest(function: Callable, inputs: Arrays) -> tuple[Arrays, float]:
    """The results of a function, and its seconds."""
    results, seconds = function(inputs), []
    for _ in range(RUNS):
        start = time.perf_counter()
        function(inputs)
        seconds.append(time.perf_counter() - start)
    return results, min(seconds)


def check(model: BaseModel, path: Path, inputs: Arrays) -> list[str]:
    """Compare a file with its model, print what comes out, and list what differs too much."""
    import torch

    from hrdet.export import compare, open_exported

    def in_torch(inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return {name: tensor.numpy() for name, tensor in model.predict_tensors(**tensors).items()}

    run, _ = open_exported(path)
    expected, of_model = fastest(in_torch, inputs)
    found, of_file = fastest(run, inputs)
    differences = compare(expected, found)
    for difference in differences:
        print(f'  largest difference: {difference}')
    shape = ' x '.join(map(str, inputs['images'].shape))
    print(f'  {shape}: model {1000 * of_model:.1f} ms, file {1000 * of_file:.1f} ms a call')
    return [str(difference) for difference in differences if difference.too_large]


def main(arguments: Sequence[str] | None = None) -> None:
    """The whole command."""
    args = parse_args(arguments)
    import numpy as np

    from hrdet.apis import init_model
    from hrdet.checkpoints import CheckpointError
    from hrdet.data import DataError
    from hrdet.data.inputs import read_image
    from hrdet.data.shapes.scenes import draw_scene
    from hrdet.export import Dynamic, check_format, largest_test_size, trace, write
    from hrdet.registry import ConfigError

    try:
        check_format(args.out)
        picture = None if args.image is None else read_image(args.image)
        model = init_model(args.config, args.checkpoint, 'cpu', args.cfg_options)
        size = tuple(args.size or largest_test_size(model.pipeline))
        dynamic = Dynamic('batch' in args.dynamic, 'size' in args.dynamic)
        if picture is None:
            picture = draw_scene(size, np.random.default_rng(0)).image
        program = trace(model, (args.batch_size, *size), dynamic)
        write(program, args.out, model)
        parts = (
            {args.out, args.out.with_suffix('.bin')} if args.out.suffix == '.xml' else {args.out}
        )
        megabytes = sum(part.stat().st_size for part in parts) / 2**20
        print(f'{args.out}: {megabytes:.1f} MiB, input {size[0]} x {size[1]} (h x w)')
        inputs = example(picture, size, args.batch_size, model.takes_padded)
        wrong = check(model, args.out, inputs)
    except (ConfigError, CheckpointError, DataError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    if wrong:
        raise SystemExit(f'error: {args.out} differs from its model: {"; ".join(wrong)}')


if __name__ == '__main__':
    main()
