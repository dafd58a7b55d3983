"""Peak memory of training steps, how it grows with the images, and the largest batch for a card.

    python tools/analysis/memory.py CONFIG
    python tools/analysis/memory.py CONFIG --cfg-options amp=bfloat16 model.backbone.with_cp=True

The tool measures steps on random images of a few small sizes and batches, and fits a plane through
the peaks: bytes for the model, for each image, and for each megapixel of the images.
With activation checkpointing, or bfloat16, choose --sizes near the sizes of the training: small
ones have their peak when all gradients exist, not in the middle, and give too flat a slope.

- On CUDA the peak is what torch allocated in the step (max_memory_allocated).
- On a CPU it is the sum of all tensors that are alive at the same time: weights, momentum and
  batch, plus what torch's profiler sees allocated and freed in the step, gradients included.  A GPU
  needs the same bytes, plus the buffers of its kernels: workspaces of cuDNN, and up to 256 MB for
  overlaps of boxes, which a CPU computes in smaller chunks.
- The largest batch leaves --reserve GiB of the card for these, for CUDA itself and for gaps
  between tensors.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.command_line import CONFIG_HELP, Parser, add_cfg_options
from hrdet.config import RunConfig, load_config, lower
from hrdet.registry import ConfigError

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    import numpy as np
    import torch

    from hrdet.engine.trainer import TrainStep
    from hrdet.structures import Batch

GIB, MEGA = 2**30, 10**6
SIZES = ('480x640', '640x800')
Point = tuple[int, float, int]  # images, megapixels of all of them, bytes


def parse_args() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('--sizes', nargs='+', default=SIZES, metavar='HxW', help='of the images')
    parser.add_argument('--batches', type=int, nargs='+', default=(1, 2), help='images in a step')
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), help='(default: cuda if there is a GPU)'
    )
    parser.add_argument(
        '--size',
        default='800x1344',
        help='images that the largest batch is computed for (%(default)s)',
    )
    parser.add_argument(
        '--cards', type=float, nargs='+', default=(12, 24), help='memory in GiB (%(default)s)'
    )
    parser.add_argument('--reserve', type=float, default=1.5, help='GiB left free (%(default)s)')
    add_cfg_options(parser)
    args = parser.parse_args()
    try:
        args.sizes, args.size = [pixels(s) for s in args.sizes], pixels(args.size)
    except ValueError:
        parser.error('sizes are written as 800x1344: height and width in pixels')
    if min(args.batches) < 1 or len(set(args.sizes)) < 2 or len(set(args.batches)) < 2:
        parser.error('a slope takes two --sizes and two --batches at least')
    import torch

    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch finds no GPU here; use --device cpu')
    return args


def pixels(size: str) -> tuple[int, int]:
    """'800x1344' to (height, width).

    Raises:
        ValueError: it is not written so, or too small to see anything.
    """
    height, width = map(int, size.split('x'))
    if min(height, width) < 32:
        raise ValueError(size)
    return height, width


def peak(train_step: TrainStep, batch: Batch, device: torch.device) -> int:
    """Bytes at the peak of a training step."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    batch = batch.to(device)

    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        train_step(batch)
        return torch.cuda.max_memory_allocated()
    model, optimizer = train_step.model, train_step.optimizer
    states = [value for state in optimizer.state.values() for value in state.values()]
    standing = [*model.parameters(), *model.buffers(), batch.images, *states]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        train_step(batch)
    events = [e for e in record.profiler.kineto_results.events() if e.name() == '[memory]']
    changes = [event.nbytes() for event in sorted(events, key=lambda e: e.start_ns())]
    standing_bytes = sum(t.nbytes for t in standing if isinstance(t, torch.Tensor))
    return standing_bytes + max(itertools.accumulate(changes))


def measure(
    run_config: RunConfig,
    sizes: Sequence[tuple[int, int]],
    batches: Sequence[int],
    device: torch.device,
) -> list[Point]:
    """The peaks of all sizes with all batches."""
    from hrdet.engine.trainer import TrainStep
    from hrdet.models import build_model
    from hrdet.optim import build_optimizer
    from tools.analysis.steps import class_names, noise, random_truth

    model = build_model(run_config, class_names(run_config)).train().to(device)
    optimizer = build_optimizer(model, run_config.training.optimizer)
    step = TrainStep(
        model,
        optimizer,
        device,
        amp=run_config.training.amp,
        grad_clip=run_config.training.grad_clip,
    )
    points = []
    for images, size in itertools.product(batches, sizes):
        batch = noise(images, size, random_truth(model, images, size))
        peak_bytes = peak(step, batch, device)
        points.append((images, images * size[0] * size[1] / MEGA, peak_bytes))
    return points


def plane(points: Sequence[Point]) -> tuple[np.ndarray, float]:
    """Bytes (of the model, an image, a megapixel), and the largest error as a part of a peak."""
    import numpy as np

    terms = np.array([(1, images, mega) for images, mega, _ in points])
    peaks = np.array([peak_bytes for *_, peak_bytes in points], float)
    slopes = np.linalg.lstsq(terms, peaks, rcond=None)[0]
    return slopes, float(np.abs(terms @ slopes / peaks - 1).max())


def largest_batch(slopes: np.ndarray, size: tuple[int, int], room: float) -> int:
    """How many images of ``size`` go into ``room`` bytes."""
    model, image, mega = slopes
    return max(0, int((room - model) // (image + mega * size[0] * size[1] / MEGA)))


def main() -> None:
    args = parse_args()
    import torch
    from rich.console import Console
    from rich.table import Table

    torch.manual_seed(0)
    try:
        run_config = lower(load_config(args.config, args.cfg_options))
        run_config.check_trainable()
    except (ConfigError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    points = measure(run_config, args.sizes, args.batches, torch.device(args.device))
    slopes, error = plane(points)
    table = Table('images', 'megapixels', 'peak MiB')
    for images, mega, peak_bytes in points:
        table.add_row(str(images), f'{mega:.3f}', f'{peak_bytes / 2**20:.0f}')
    console = Console(highlight=False, soft_wrap=True)
    console.print(f'{Path(args.config).stem}, training on {args.device}, torch {torch.__version__}')
    console.print(table)
    model, image, mega = slopes / 2**20
    console.print(
        f'{model:.0f} MiB + {image:.0f} an image + {mega:.0f} a megapixel, within {error:.1%}'
    )
    height, width = args.size
    fitting = [largest_batch(slopes, args.size, (c - args.reserve) * GIB) for c in args.cards]
    batches = ', '.join(f'{n} in {card:g} GiB' for n, card in zip(fitting, args.cards))
    console.print(f'images of {height} x {width}: {batches} ({args.reserve:g} GiB left free)')


if __name__ == '__main__':
    main()
