"""Where the time of a detector goes: medians of its parts, and peak memory.

    python tools/analysis/benchmark.py CONFIG --mode infer --device cpu --shape 800 1216
    python tools/analysis/benchmark.py CONFIG --mode train --device cuda --batch 4
    python tools/analysis/benchmark.py CONFIG --mode infer --checkpoint work_dirs/.../latest.pth

Without --shape the batches are those of the config's data set (training or test set), and loading
is timed too: in this process, one batch at a time, so that the row tells how much work one loader
worker has with a batch.  A run needs about (data loading / whole step) workers to keep up.
With --shape the images are noise of that size with a few boxes, and no data set is needed; they
are looked at once, also where the config's test augments them.

How to read it:
- "post-processing" (infer) is what follows the layers: decoding, suppression, the way to the host;
  "targets and losses" (train) is anchors and proposals matched to objects, sampling, loss formulae.
- An untrained detector finds nothing that passes score_thr, which makes post-processing look
  cheap.  Give --checkpoint for times that mean something there.
- On CUDA parts are timed by events in the stream: nothing waits for them, and a part during which
  the GPU waits for Python (launch-bound, HRNet's disease) shows that waiting.
- Speed switches are the config's: --cfg-options channels_last=True compile=True amp=bfloat16.
- On a CPU the number of threads is OMP_NUM_THREADS.
"""

import argparse
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.checkpoints import CheckpointError, load_checkpoint
from hrdet.config import CfgOptions, Lowered, load_config, lower
from hrdet.data import DataError, build_loader
from hrdet.engine.optimizer import OptimWrapper, build_optimizer
from hrdet.models import build_model
from hrdet.models.views import forms
from hrdet.registry import ConfigError, build
from hrdet.structures import Batch, GroundTruth, ImageMeta, Views
from tools.analysis.stopwatch import Stopwatch

COCO_CLASSES = 80  # where the classes come from an annotation file, which is not read with --shape
OBJECTS = 8  # boxes in an image of noise
LAYERS = ('preprocess', 'backbone', 'neck')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--mode', choices=('infer', 'train'), required=True)
    default = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), default=default, help=f'(default here: {default})'
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
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='PATH=VALUE')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch finds no GPU here; use --device cpu')
    if args.iterations < 1 or (args.batch or 1) < 1 or min(args.shape or (1,)) < 1:
        parser.error('--iterations, --batch and --shape must be at least 1')
    return args


def noise(batch: int, size: tuple[int, int], classes: int, masks: bool, maps: bool) -> Batch:
    """Images of noise with boxes on them, and with masks and semantic maps if wanted."""

    def pixels(*shape: int, values: int = 2) -> torch.Tensor:
        return torch.randint(values, (batch, *shape), dtype=torch.uint8)

    height, width = size
    corners = torch.rand(batch, OBJECTS, 2) * 0.5
    sides = 0.1 + torch.rand(batch, OBJECTS, 2) * 0.4
    boxes = torch.cat([corners, corners + sides], -1) * torch.tensor([width, height] * 2)
    truth = GroundTruth(
        boxes=boxes,
        labels=torch.randint(0, classes, (batch, OBJECTS)),
        ignored=torch.zeros(batch, 1, 4),
        masks=pixels(OBJECTS, *size) if masks else None,
        semantic=pixels(-(-height // 8), -(-width // 8)) if maps else None,
        valid=torch.ones(batch, OBJECTS, dtype=torch.bool),
        ignored_valid=torch.zeros(batch, 1, dtype=torch.bool),
    )
    sizes = torch.tensor([size] * batch, dtype=torch.float32)
    metas = [ImageMeta('noise', i, size, size, size) for i in range(batch)]
    images = pixels(height, width, 3, values=256).permute(0, 3, 1, 2)
    return Batch(images, metas, sizes, sizes, truth)


def forever(loader) -> Iterator[Batch | Views]:
    """The loader's batches, again and again."""
    while True:
        yield from loader


def model_and_batches(args: argparse.Namespace, lowered: Lowered):
    """The detector, and an endless source of batches on the host."""
    training = args.mode == 'train'
    options = lowered.train_loader if training else lowered.test_loader
    batch = args.batch or options['batch_size']
    if args.shape:
        classes = lowered.classes or tuple(map(str, range(COCO_CLASSES)))
        roi_head = lowered.model.get('roi_head', {})
        wanted = 'mask_head' in roi_head, 'semantic_head' in roi_head
        batches = forever([noise(batch, tuple(args.shape), len(classes), *wanted)])
    else:
        dataset = build(lowered.train_dataset if training else lowered.test_dataset)
        classes = dataset.classes
        options = options | dict(batch_size=batch, num_workers=0)
        batches = forever(build_loader(dataset, training=training, **options))
    model = build_model(lowered, classes)
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint)
    return model.train(training).to(args.device), batches


def make_step(args: argparse.Namespace, lowered: Lowered, model: nn.Module, watch: Stopwatch):
    """A function of a batch on the device that does what an iteration of the mode does."""
    if args.mode == 'infer':
        return lambda batch: model(batch, mode='predict')
    optimizer = OptimWrapper(
        build_optimizer(model, lowered.optimizer),
        torch.device(args.device),
        clip_grad=lowered.grad_clip,
        amp=lowered.amp,
    )

    def step(batch: Batch) -> None:
        with optimizer.optim_context(model), watch.span('forward'):
            total = sum(model(batch, mode='loss').values())
        with watch.span('backward'):
            optimizer.backward(total)
        with watch.span('optimizer'):
            optimizer.step()
            optimizer.zero_grad()

    return step


def watch_parts(model: nn.Module, watch: Stopwatch) -> None:
    """Time the layers; what is between them is the rest of a step's forward."""
    for name, part in model.named_children():
        if name in LAYERS:
            watch.watch(part, name)
        else:
            for module in part.modules():  # whichever of them the detector calls
                watch.watch(module, 'heads')


def measure(
    step: Callable[[Batch], object],
    batches: Iterator[Batch | Views],
    watch: Stopwatch,
    args: argparse.Namespace,
) -> list[tuple[int, ...]]:
    """Run the steps; returns the shapes of the last batch's views."""
    for i in range(args.warmup + args.iterations):
        if i == args.warmup:
            watch.times.clear()
            if watch.cuda:
                torch.cuda.reset_peak_memory_stats()
        with watch.span('data loading'):
            batch = next(batches)
        with watch.span('whole step'):
            with watch.span('to the device'):
                batch = batch.to(args.device)
            step(batch)
        watch.finish_step()
    return [tuple(view.images.shape) for view in forms(batch, rescale=True)]


def rows(watch: Stopwatch, mode: str) -> dict[str, float]:
    """Median milliseconds of the parts of a step, in their order."""
    times = {name: list(values) for name, values in watch.times.items()}
    layers = [*LAYERS, 'heads']
    rest = 'post-processing' if mode == 'infer' else 'targets and losses'
    around = times['whole step'] if mode == 'infer' else times['forward']
    inside = [times[name] for name in layers]
    inside += [times['to the device']] if mode == 'infer' else []
    times[rest] = [whole - sum(parts) for whole, *parts in zip(around, *inside)]
    names = ['to the device', *layers, rest]
    names += ['backward', 'optimizer'] if mode == 'train' else []
    return {name: median(times[name]) for name in names}


def peak_memory(cuda: bool) -> str:
    if cuda:
        used, kept = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return f'{used / 2**20:.0f} MiB of GPU memory in tensors, {kept / 2**20:.0f} MiB reserved'
    unit = 1 if sys.platform == 'darwin' else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f'{peak / 2**20:.0f} MiB of memory (the whole process)'


def show(watch: Stopwatch, shapes: list[tuple[int, ...]], args: argparse.Namespace) -> None:
    """The table, and what follows from it."""
    images = shapes[0][0]
    where = f'{torch.get_num_threads()} CPU thread(s)'
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
        f'torch {torch.__version__}; medians of {args.iterations} steps'
    )
    console.print(table)
    console.print(f'{images * 1000 / whole:.2f} images per second; peak {peak_memory(watch.cuda)}')
    if not args.shape:
        loading = median(watch.times['data loading'])
        console.print(
            f'data loading: {loading:.1f} ms a batch in one process; '
            f'{max(1, -(-loading // whole)):.0f} worker(s) keep up with this step'
        )


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    try:
        lowered = lower(load_config(args.config, args.cfg_options))
        if args.mode == 'train':
            lowered.check_trainable()
        torch.backends.cudnn.benchmark = lowered.cudnn_benchmark
        model, batches = model_and_batches(args, lowered)
        watch = Stopwatch(torch.device(args.device))
        watch_parts(model, watch)
        step = make_step(args, lowered, model, watch)
        shapes = measure(step, batches, watch, args)
    except (ConfigError, DataError, CheckpointError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    show(watch, shapes, args)


if __name__ == '__main__':
    main()
