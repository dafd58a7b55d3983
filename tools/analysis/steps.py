"""Steps of inference and of training, on a data set or on noise, and the time of their parts."""

import argparse
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import nn

from hrdet.checkpoints import load_checkpoint
from hrdet.config import RunConfig, loader_options
from hrdet.data import build_loader
from hrdet.engine.trainer import TrainStep
from hrdet.models import build_model
from hrdet.models.views import augmented_batches
from hrdet.optim import build_optimizer
from hrdet.registry import build
from hrdet.structures import Batch, GroundTruth, ImageMeta, Views
from tools.analysis.stopwatch import Stopwatch

COCO_CLASSES = 80  # for configs whose classes come from an annotation file: --shape reads none
OBJECTS = 8  # boxes in an image of noise
LAYERS = ('preprocess', 'backbone', 'neck')


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


def endless(loader) -> Iterator[Batch | Views]:
    """The loader's batches, again and again."""
    while True:
        yield from loader


def model_and_batches(args: argparse.Namespace, run_config: RunConfig):
    """The detector, and an endless source of batches on the host."""
    training = args.mode == 'train'
    split = run_config.train if training else run_config.test
    options = loader_options(split)
    batch = args.batch or options['batch_size']
    if args.shape:
        classes = run_config.classes or tuple(map(str, range(COCO_CLASSES)))
        roi_head = run_config.model.get('roi_head', {})
        wanted = 'mask_head' in roi_head, 'semantic_head' in roi_head
        batches = endless([noise(batch, tuple(args.shape), len(classes), *wanted)])
    else:
        dataset = build(split['dataset'])
        classes = dataset.classes
        options = options | dict(batch_size=batch, num_workers=0)
        batches = endless(build_loader(dataset, training=training, **options))
    model = build_model(run_config, classes)
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint)
    return model.train(training).to(args.device), batches


def make_step(args: argparse.Namespace, run_config: RunConfig, model: nn.Module, watch: Stopwatch):
    """A function of a batch on the device that does what an iteration of the mode does."""
    if args.mode == 'infer':
        return lambda batch: model(batch, mode='predict')
    optimizer = build_optimizer(model, run_config.training.optimizer)
    step = TrainStep(
        model,
        optimizer,
        torch.device(args.device),
        amp=run_config.training.amp,
        grad_clip=run_config.training.grad_clip,
    )
    watch.watch(model, 'forward')
    model.register_forward_hook(lambda *_: watch.begin('backward'))
    update = step.update

    def timed_update() -> None:
        watch.end('backward')
        with watch.span('optimizer'):
            update()

    step.update = timed_update
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
    return [tuple(view.images.shape) for view in augmented_batches(batch, rescale=True)]


def rows(watch: Stopwatch, mode: str) -> dict[str, float]:
    """Median milliseconds of the parts of a step, in their order."""
    times = {name: list(values) for name, values in watch.times.items()}
    layers = [*LAYERS, 'heads']
    rest = 'post-processing' if mode == 'infer' else 'targets and losses'
    total = times['whole step'] if mode == 'infer' else times['forward']
    inside = [times[name] for name in layers]
    inside += [times['to the device']] if mode == 'infer' else []
    times[rest] = [whole - sum(parts) for whole, *parts in zip(total, *inside)]
    names = ['to the device', *layers, rest]
    names += ['backward', 'optimizer'] if mode == 'train' else []
    return {name: median(times[name]) for name in names}
