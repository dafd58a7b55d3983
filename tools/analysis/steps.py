"""Run steps of inference or training on a data set or on noise, and time their parts."""

import argparse
from collections.abc import Callable, Iterator
from functools import singledispatch
from statistics import median
from typing import Any

import torch
from torch import nn

from hrdet.checkpoints import load_checkpoint
from hrdet.class_names import class_counts
from hrdet.config import RunConfig, loader_options
from hrdet.data import build_loader
from hrdet.engine.trainer import TrainStep
from hrdet.models import build_model
from hrdet.models.classifiers import ImageClassifier
from hrdet.models.segmentors import EncoderDecoder
from hrdet.models.views import augmented_batches
from hrdet.optim import build_optimizer
from hrdet.registry import build
from hrdet.structures import Batch, ClassLabel, GroundTruth, ImageMeta, SegmentationMap, Views
from tools.analysis.stopwatch import Stopwatch

COCO_CLASSES = 80  # for configs whose classes come from files: --shape reads none
OBJECTS = 8  # boxes in an image of noise
LAYERS = ('preprocess', 'backbone', 'neck')


def noise(batch: int, size: tuple[int, int], truth: Any) -> Batch:
    """Images of noise with a truth about them."""
    sizes = torch.tensor([size] * batch, dtype=torch.float32)
    metas = [ImageMeta('noise', i, size, size, size) for i in range(batch)]
    images = _integers(256, batch, *size, 3).permute(0, 3, 1, 2)
    return Batch(images, metas, sizes, sizes, truth)


@singledispatch
def random_truth(model: nn.Module, batch: int, size: tuple[int, int]) -> Any:
    """What a model can learn from: of a detector boxes, with masks and maps where it uses them."""
    height, width = size
    corners = torch.rand(batch, OBJECTS, 2) * 0.5
    sides = 0.1 + torch.rand(batch, OBJECTS, 2) * 0.4
    boxes = torch.cat([corners, corners + sides], -1) * torch.tensor([width, height] * 2)
    roi_head = getattr(model, 'roi_head', None)
    masks, maps = (getattr(roi_head, f'{name}_head', None) for name in ('mask', 'semantic'))
    return GroundTruth(
        boxes=boxes,
        labels=torch.randint(0, len(model.classes), (batch, OBJECTS)),
        ignored=torch.zeros(batch, 1, 4),
        masks=None if masks is None else _integers(2, batch, OBJECTS, *size),
        semantic=None if maps is None else _integers(2, batch, -(-height // 8), -(-width // 8)),
        valid=torch.ones(batch, OBJECTS, dtype=torch.bool),
        ignored_valid=torch.zeros(batch, 1, dtype=torch.bool),
    )


@random_truth.register
def _(model: ImageClassifier, batch: int, size: tuple[int, int]) -> ClassLabel:
    return ClassLabel(torch.randint(0, len(model.classes), (batch,)))


@random_truth.register
def _(model: EncoderDecoder, batch: int, size: tuple[int, int]) -> SegmentationMap:
    return SegmentationMap(_integers(len(model.classes), batch, *size))


def _integers(count: int, *shape: int) -> torch.Tensor:
    """uint8 in 0..count - 1."""
    return torch.randint(count, shape, dtype=torch.uint8)


def class_names(run_config: RunConfig) -> tuple[str, ...]:
    """Without any file: those of the config, or numbers, as many as its heads have or COCO has."""
    count = next(class_counts(run_config.model), COCO_CLASSES)
    return run_config.classes or tuple(map(str, range(count)))


def endless(loader) -> Iterator[Batch | Views]:
    """The loader's batches, again and again."""
    while True:
        yield from loader


def model_and_batches(args: argparse.Namespace, run_config: RunConfig):
    """The model, and an endless source of batches on the host."""
    training = args.mode == 'train'
    split = run_config.train if training else run_config.test
    options = loader_options(split)
    batch = args.batch or options['batch_size']
    if args.shape:
        classes, loader = class_names(run_config), None
    else:
        dataset = build(split['dataset'])
        options = options | dict(batch_size=batch, num_workers=0)
        classes, loader = dataset.classes, build_loader(dataset, training=training, **options)
    model = build_model(run_config, classes)
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint)
    if loader is None:
        size = tuple(args.shape)
        loader = [noise(batch, size, random_truth(model, batch, size))]
    return model.train(training).to(args.device), endless(loader)


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

    def updates(*_: object) -> None:
        watch.end('backward')  # clipping of the gradients is part of it
        watch.begin('optimizer')

    optimizer.register_step_pre_hook(updates)
    optimizer.register_step_post_hook(lambda *_: watch.end('optimizer'))
    return step


def watch_parts(model: nn.Module, watch: Stopwatch) -> None:
    """Time the layers; what is between them is the rest of a step's forward."""
    for name, part in model.named_children():
        if name in LAYERS:
            watch.watch(part, name)
        else:
            for module in part.modules():  # whichever of them the model calls
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
