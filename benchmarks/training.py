"""A training step: images of one batch to changed weights, and the memory it takes."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import models
from benchmarks.compare import same_losses
from benchmarks.harness import Arrays, Case, Options, Side


def cases(options: Options) -> list[Case]:
    """Faster R-CNN W18: on a CPU one image of 800 x 1216, on a GPU two of 800 x 1333 with AMP."""
    gpu = options.device != 'cpu'
    size, scale = (500, 833 if gpu else 760), [1333, 800]
    if options.tiny:
        size, scale = models.SMALL
    batch = 2 if gpu else 1
    name = f'training step, Faster W18, {batch} image(s)' + (', bfloat16 AMP' if gpu else '')
    return [step(options, models.FASTER, name, size, scale, batch, gpu, ('time', 'peak'))]


def step(
    options: Options,
    family: str,
    name: str,
    size: tuple[int, int],
    scale: list[int],
    batch: int,
    amp: bool,
    measures: Sequence[str],
) -> Case:
    """A case of one config's training step."""

    def files() -> tuple[dict, dict]:
        data = models.make_data(options, size)
        return models.arguments(options, family, scale=scale, data=data, batch=batch, amp=amp)

    hrdet = f'{__name__}:hrdet_step'
    sides = [
        Side('hrdet', hrdet, peer=False),
        Side('mmdetection', f'{__name__}:mmdet_step', same=same_losses),
    ]
    if options.device == 'cpu':  # beside the peer in float32; the losses are compared so, too
        sides.insert(1, Side('hrdet bfloat16 AMP', hrdet, dict(amp=True), peer=False))
    # Samplers draw at random: for the comparison both take the first candidates.  In float32.
    check = dict(first=True, amp=False)
    return Case(name, sides, measures, files, check)


def hrdet_step(
    config: str,
    weights: str,
    device: str,
    scale: list[int],
    data: dict[str, str],
    batch: int,
    amp: bool,
    first: bool = False,
) -> tuple[Callable, Callable]:
    import torch

    from hrdet.checkpoints import load_checkpoint
    from hrdet.config import load_config, lower
    from hrdet.data import SampleKey, collate
    from hrdet.engine.trainer import TrainStep
    from hrdet.matching import RandomSampler
    from hrdet.models import build_model
    from hrdet.optim import build_optimizer
    from hrdet.optimize import fast_training
    from hrdet.registry import build

    if first:
        RandomSampler.sample = first_candidates
    settings = load_config(config)
    train = dict(
        ann_file=data['annotations'],
        img_prefix=data['images'],
        img_scale=tuple(scale),
        flip_ratio=0.0,
    )
    if 'seg_prefix' in settings.data.train:
        train['seg_prefix'] = data['maps']
    settings = load_config(config, {f'data.train.{k}': v for k, v in train.items()})
    run_config = lower(settings)
    dataset = build(run_config.train['dataset'])
    model = build_model(run_config, dataset.classes)
    load_checkpoint(model, weights)
    model = model.to(device).train()
    if device == 'cpu':
        fast_training(model)  # as Trainer.run does
    loaded = collate([dataset[SampleKey(i)] for i in range(batch)], size_divisor=32)
    optimizer = build_optimizer(model, run_config.training.optimizer)
    step = TrainStep(
        model,
        optimizer,
        torch.device(device),
        amp='bfloat16' if amp else None,
        grad_clip=run_config.training.grad_clip,
    )
    before = long_step(model, optimizer) if first else {}

    def run() -> dict[str, Any]:
        losses = step(loaded)
        return {name: loss for name, loss in losses.items() if name != 'loss'}

    return run, lambda losses: changes(losses, model, before)


def first_candidates(sampler, assignment, *losses):
    """Instead of drawing: the candidates in their order."""
    import torch

    keys = torch.arange(assignment.max_iou.shape[1], 0, -1, device=assignment.max_iou.device)
    return sampler.choose(assignment, keys.float().expand_as(assignment.max_iou))


def mmdet_step(
    config: str,
    weights: str,
    device: str,
    scale: list[int],
    data: dict[str, str],
    batch: int,
    amp: bool,
    first: bool = False,
) -> tuple[Callable, Callable]:
    from mmdet.apis import init_detector
    from mmdet.models.task_modules.samplers import RandomSampler
    from mmdet.registry import DATASETS
    from mmengine.dataset import pseudo_collate
    from mmengine.optim import build_optim_wrapper

    if first:
        RandomSampler.random_choice = lambda sampler, gallery, count: gallery[:count]
    settings = models.mmdet_config(config, scale)
    if amp:
        settings.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16')
    model = init_detector(settings, weights, device=device).train()
    node = settings.train_dataloader.dataset
    prefix = {'img': data['images']} | ({'seg': data['maps']} if 'seg' in node.data_prefix else {})
    node.update(
        ann_file=data['annotations'],
        data_root='',
        data_prefix=prefix,
        metainfo=dict(classes=models.CLASSES),
    )
    dataset = DATASETS.build(node)
    loaded = pseudo_collate([dataset[i] for i in range(batch)])
    optimizer = build_optim_wrapper(model, settings.optim_wrapper)
    optimizer.initialize_count_status(model, 0, 1 << 30)
    before = long_step(model, optimizer.optimizer) if first else {}

    def run() -> dict[str, Any]:
        losses = model.train_step(loaded, optimizer)
        return {k: v for k, v in losses.items() if 'loss' in k and k != 'loss'}

    return run, lambda losses: changes(losses, model, before)


def long_step(model: Any, optimizer: Any) -> dict[str, Any]:
    """Copies of the parameters before a step so long that it can be read off their difference."""
    for group in optimizer.param_groups:
        group['lr'] *= 1000
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def changes(losses: dict[str, Any], model: Any, before: dict[str, Any]) -> Arrays:
    """Losses, and the norm of each parameter's step (of its gradient, after weight decay)."""
    changes = {f'loss/{name}': loss.detach() for name, loss in losses.items()}
    for name, value in model.named_parameters():
        if name in before:
            changes[f'moved/{name}'] = (value.detach() - before[name]).double().norm()
    return {name: value.float().cpu().numpy() for name, value in changes.items()}
