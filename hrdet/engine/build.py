"""From a config to a run: data sets, model and Runner built from the lowered config."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

import hrdet.data
import hrdet.models
import hrdet.optimize
from hrdet.checkpoints import load_backbone, load_checkpoint
from hrdet.config import Config, Lowered, lower
from hrdet.distributed import broadcast_object, rank, world_size
from hrdet.engine import assemble
from hrdet.engine.checkpoint_hook import LATEST, read_meta
from hrdet.engine.launch import start
from hrdet.engine.randomness import draw_seed
from hrdet.engine.runner import Runner
from hrdet.evaluation import CocoMetric
from hrdet.ops.library import require
from hrdet.registry import ConfigError, build


@dataclass(slots=True)
class TrainOptions:
    """What the command line decides about a training run; None leaves it to the config."""

    work_dir: str | None = None
    resume_from: str | None = None
    load_from: str | None = None
    seed: int | None = None
    deterministic: bool = False
    validate: bool = True
    auto_resume: bool = True  # from work_dir/latest.pth
    auto_scale_lr: bool = True


def build_trainer(
    config: Config, options: TrainOptions, launcher: str = 'none', force_cpu: bool = False
) -> Runner:
    """Everything a training run needs, ready for ``runner.train()``.

    Raises:
        ConfigError, DataError, CheckpointError, FileNotFoundError: before the first iteration,
            with what to change.
    """
    lowered = lower(config)
    lowered.check_trainable()
    device = start(launcher, force_cpu, lowered.dist_params['backend'])
    require(torch.empty(0, device=device))  # now, not after the data is read
    work_dir = options.work_dir or lowered.work_dir
    resume_from = broadcast_object(_resume_from(options, lowered, Path(work_dir)))
    load_from = resume_from or options.load_from or lowered.load_from
    seed = _seed(options, lowered, resume_from)
    torch.manual_seed(seed)
    if options.deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

    train_set = build(lowered.train_dataset)
    model = hrdet.models.build_model(lowered, train_set.classes)
    if lowered.pretrained and not load_from:
        load_backbone(model.backbone, lowered.pretrained)
    train_loader = _loader(train_set, lowered.train_loader, training=True, seed=seed)
    val_loader = metric = None
    if options.validate and lowered.val_dataset is not None:
        val_set = build(lowered.val_dataset)
        _check_classes(train_set.classes, val_set.classes, 'the model')
        val_loader = _loader(val_set, lowered.val_loader)
        metric = CocoMetric(val_set, lowered.evaluation['metrics'])
    lowered.auto_scale_lr['enable'] &= options.auto_scale_lr
    runner = assemble.trainer(
        lowered,
        model,
        train_loader,
        val_loader,
        metric,
        device=device,
        work_dir=work_dir,
        seed=seed,
        about=_about(config, lowered, train_set.classes),
        config=config,
        deterministic=options.deterministic,
        load_from=load_from,
        resume=resume_from is not None,
    )
    for text in (*lowered.warnings, train_set.annotation_report):
        runner.logger.info(text)
    if lowered.amp == 'float16' and device.type == 'cpu':
        runner.logger.warning(
            "amp: 'float16' is for GPUs and takes a CPU several times as long as None; on a CPU "
            "use amp='bfloat16'"
        )
    return runner


def build_tester(
    config: Config,
    checkpoint: str,
    metrics: list[str] | None = None,
    launcher: str = 'none',
    force_cpu: bool = False,
    speed: dict[str, Any] | None = None,
) -> Runner:
    """Everything a test needs, ready for ``runner.test()``, with the checkpoint's weights.

    ``metrics`` are kinds of ``hrdet.evaluation.KINDS``; None leaves them to the config.  ``speed``
    are arguments of ``hrdet.optimize.optimize``; None leaves the model as it was trained.

    Raises:
        ConfigError, DataError, CheckpointError, FileNotFoundError: with what to change.
    """
    lowered = lower(config)
    device = start(launcher, force_cpu, lowered.dist_params['backend'])
    require(torch.empty(0, device=device))  # now, not after the data is read
    if lowered.test_dataset is None:
        raise ConfigError('data.test: testing needs this key')
    test_set = build(lowered.test_dataset)
    model = hrdet.models.build_model(lowered, test_set.classes, fresh=False)
    report = load_checkpoint(model, checkpoint)
    _check_classes(report.classes, test_set.classes, checkpoint)
    if speed is not None:
        model = hrdet.optimize.optimize(model.to(device).eval(), **speed)
    runner = assemble.tester(
        lowered,
        model,
        _loader(test_set, lowered.test_loader),
        CocoMetric(test_set, metrics or lowered.evaluation['metrics']),
        device=device,
        work_dir=lowered.work_dir,
        seed=0,
        about={},
        config=config,
    )
    runner.logger.info(f'{report}')
    told = 'as it was trained' if speed is None else f'optimized with {speed}'
    runner.logger.info(f'the network runs {told}')
    return runner


def _resume_from(options: TrainOptions, lowered: Lowered, work_dir: Path) -> str | None:
    latest = work_dir / LATEST
    named = options.resume_from or lowered.resume_from
    fresh = options.load_from is not None  # asked for by hand: a new run from those weights
    if named is None and options.auto_resume and not fresh and latest.is_file():
        return str(latest)
    return named


def _seed(options: TrainOptions, lowered: Lowered, resume_from: str | None) -> int:
    wanted = lowered.seed if options.seed is None else options.seed
    if resume_from is None:
        return draw_seed() if wanted is None else wanted
    saved = read_meta(resume_from).get('seed')
    if wanted is not None and wanted != saved:
        raise ConfigError(
            f'seed={wanted}, but {resume_from} is of a run with seed {saved}: leave the seed out '
            f'to continue that run, or start a new one with --no-auto-resume in another work_dir'
        )
    return draw_seed() if saved is None else saved


def _loader(
    dataset: hrdet.data.DetectionDataset,
    options: dict[str, Any],
    training: bool = False,
    seed: int = 0,
) -> DataLoader:
    return hrdet.data.build_loader(
        dataset, training=training, rank=rank(), world_size=world_size(), seed=seed, **options
    )


def _about(config: Config, lowered: Lowered, classes: tuple[str, ...]) -> dict[str, Any]:
    return dict(
        classes=list(classes), config=config.pretty_text, box_convention=str(lowered.box_convention)
    )


def _check_classes(trained: tuple[str, ...] | None, tested: tuple[str, ...], model: str) -> None:
    """Labels mean the same classes in training and evaluation, in the same order."""
    if trained is not None and _spoken(trained) != _spoken(tested):
        raise ConfigError(
            f'{model} is trained on the classes {tuple(trained)}, the data to evaluate on has '
            f'{tuple(tested)}: set classes=(...) in the config to those of the training'
        )


def _spoken(classes: tuple[str, ...]) -> list[str]:
    """The names without underscores: the 2019 line writes COCO's 'traffic light' with one."""
    return [name.replace('_', ' ') for name in classes]
