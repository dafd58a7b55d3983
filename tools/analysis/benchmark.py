"""Time the parts of a model (medians), and measure its peak memory.

    python tools/analysis/benchmark.py CONFIG --mode infer --device cpu --shape 800 1216
    python tools/analysis/benchmark.py CONFIG --mode train --device cuda --batch 4
    python tools/analysis/benchmark.py CONFIG --mode infer --checkpoint work_dirs/.../latest.pth
    python tools/analysis/benchmark.py CONFIG --table

Without --shape the batches come from the config's data set (training or test set), and loading
is timed too: in this process, one batch at a time, so that the row shows the work of one loader
worker for a batch.  A run needs about (data loading / whole step) workers to keep up.
With --shape the images are noise of that size with a random truth, and no data set is needed; they
are predicted without test-time augmentation.

--table measures the two columns of the tables of published models.  Mem: the most memory that
training steps take, with the images of one GPU; on a CPU, of the whole process.  fps: images per
second, the mean of --images images of the test set, one at a time, forward and post-processing
without loading.  With --mode it measures one of them: without the data sets take --mode train
--shape 512 1024, and then --mode infer --shape 1024 2048.

How to read it:
- "post-processing" (infer) is what follows the layers: decoding, NMS, the copy to the host;
  "targets and losses" (train) is anchors and proposals matched to objects, sampling, loss formulae.
- An untrained detector finds nothing that passes score_thr, which makes post-processing look
  cheap: give --checkpoint for meaningful times.
- On CUDA parts are timed by events in the stream: nothing waits for them, and a part during which
  the GPU waits for Python (launch-bound, as HRNet often is) includes that waiting.
- Speed switches are the config's: --cfg-options channels_last=True compile=True, and in training
  amp=bfloat16.
- Inference runs the model without optimize (test.py --no-optimize).  python -m benchmarks inference
  measures the optimized model, which test.py and infer.py run, as a whole.
- On a CPU the number of threads is OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.command_line import CONFIG_HELP, Parser, add_cfg_options
from hrdet.config import load_config, lower
from hrdet.messages import plural
from hrdet.registry import ConfigError

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.config import RunConfig
    from tools.analysis.stopwatch import Stopwatch


def parse_args() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('--mode', choices=('infer', 'train'), help='needed without --table')
    parser.add_argument('--table', action='store_true', help='memory and speed as tables have them')
    parser.add_argument(
        '--images', type=int, default=200, help='of fps in the table (default: %(default)s)'
    )
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), help='(default: cuda if there is a GPU)'
    )
    parser.add_argument(
        '--shape', type=int, nargs=2, metavar=('H', 'W'), help='noise of this size, no data set'
    )
    parser.add_argument('--batch', type=int, help="images in a step (default: the config's)")
    parser.add_argument('--iterations', type=int, default=20, help='timed steps (default: 20)')
    parser.add_argument(
        '--warmup', type=int, default=5, help='steps before, not timed (default: 5)'
    )
    parser.add_argument('--checkpoint', help='weights (default: untrained)')
    add_cfg_options(parser)
    args = parser.parse_args()
    if not (args.mode or args.table):
        parser.error('give --mode infer, --mode train or --table')
    if min(args.images, args.iterations, args.batch or 1, *(args.shape or ())) < 1:
        parser.error('--iterations, --images, --batch and --shape must be at least 1')
    import torch

    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch finds no GPU here; use --device cpu')
    return args


def peak_memory(cuda: bool) -> str:
    if cuda:
        import torch

        used, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return (
            f'{used / 2**20:.0f} MiB of GPU memory in tensors, {reserved / 2**20:.0f} MiB reserved'
        )
    return f'{peak_of_process() / 2**20:.0f} MiB of memory (the whole process)'


def peak_of_process() -> int:
    """The most bytes that this process has held at once."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def table(args: argparse.Namespace, run_config: RunConfig) -> str:
    """The header and the row of a Markdown table, and how they were measured."""
    import torch

    from tools.analysis.steps import make_step, measure, model_and_batches
    from tools.analysis.stopwatch import Stopwatch

    columns, notes = {}, []
    for mode in [args.mode] if args.mode else ['train', 'infer']:  # the peak of a CPU never falls
        options = vars(args) | dict(mode=mode)
        if mode == 'infer':
            options |= dict(batch=1, iterations=args.images)
        options = argparse.Namespace(**options)
        model, batches = model_and_batches(options, run_config)
        watch = Stopwatch(torch.device(args.device))
        step = make_step(options, run_config, model, watch)
        shapes = ', '.join(map(str, measure(step, batches, watch, options)))
        if mode == 'train':
            peak = torch.cuda.max_memory_allocated() if watch.cuda else peak_of_process()
            columns['Mem (GB)'] = f'{peak / 2**30:.1f}'
            notes.append(f'Mem: {plural(args.iterations, "step")} of {shapes}')
        else:
            fps = 1000 * args.images / sum(watch.times['whole step'])
            columns['fps'] = f'{fps:.2f}'
            notes.append(f'fps: {plural(args.images, "image")}, the last one {shapes}')
    where = plural(torch.get_num_threads(), 'CPU thread')
    where = torch.cuda.get_device_name() if watch.cuda else where
    rows = [('config', *columns), ['---'] * (1 + len(columns))]
    rows.append([Path(args.config).stem, *columns.values()])
    lines = [f'| {" | ".join(row)} |' for row in rows]
    return '\n'.join([*lines, f'{where}, torch {torch.__version__}; {"; ".join(notes)}'])


def show(watch: Stopwatch, shapes: list[tuple[int, ...]], args: argparse.Namespace) -> None:
    """The table, and what follows from it."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from tools.analysis.steps import rows

    images = shapes[0][0]
    where = plural(torch.get_num_threads(), 'CPU thread')
    where = torch.cuda.get_device_name() if watch.cuda else where
    table = Table()
    for column in ('part', 'ms', 'share', 'ms / image'):
        table.add_column(column, justify='left' if column == 'part' else 'right')
    whole = median(watch.times['whole step'])
    parts = rows(watch, args.mode)
    for name, ms in [*parts.items(), ('whole step', whole)]:
        table.add_section() if name == 'whole step' else None
        table.add_row(name, f'{ms:.1f}', f'{ms / whole:.1%}', f'{ms / images:.1f}')
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f'{Path(args.config).stem}, {args.mode}: images {", ".join(map(str, shapes))}, {where}, '
        f'torch {torch.__version__}; medians of {plural(args.iterations, "step")}'
    )
    console.print(table)
    console.print(f'{images * 1000 / whole:.2f} images per second; peak {peak_memory(watch.cuda)}')
    if not args.shape:
        loading = median(watch.times['data loading'])
        workers = plural(max(1, math.ceil(loading / whole)), 'worker')
        console.print(
            f'data loading: {loading:.1f} ms a batch in one process; for this step take {workers}'
        )


def main() -> None:
    args = parse_args()
    import torch

    from hrdet.checkpoints import CheckpointError
    from hrdet.data import DataError
    from tools.analysis.steps import make_step, measure, model_and_batches, watch_parts
    from tools.analysis.stopwatch import Stopwatch

    torch.manual_seed(0)
    try:
        run_config = lower(load_config(args.config, args.cfg_options))
        if args.mode != 'infer':
            run_config.check_trainable()
        torch.backends.cudnn.benchmark = run_config.runtime.cudnn_benchmark
        if args.table:
            print(table(args, run_config))
            return
        model, batches = model_and_batches(args, run_config)
        watch = Stopwatch(torch.device(args.device))
        watch_parts(model, watch)
        step = make_step(args, run_config, model, watch)
        shapes = measure(step, batches, watch, args)
    except (ConfigError, DataError, CheckpointError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    show(watch, shapes, args)


if __name__ == '__main__':
    main()
