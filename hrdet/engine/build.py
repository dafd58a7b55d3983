"""Build a trainer or a tester from a config: data sets, model, optimizer, evaluator."""

import logging
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from secrets import randbelow
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

import hrdet.data
import hrdet.models
import hrdet.optimize
from hrdet.checkpoints import CheckpointError, load_backbone, load_checkpoint
from hrdet.checkpoints.disk import read_meta
from hrdet.config import Config, Node, RunConfig, loader_options, lower
from hrdet.distributed import broadcast_object, on_rank_0, rank, world_size
from hrdet.engine.checkpointing import LATEST
from hrdet.engine.evaluate import Tester, Validation
from hrdet.engine.launch import start
from hrdet.engine.progress_bar import ProgressBar
from hrdet.engine.resume import load_weights, resume
from hrdet.engine.trainer import Trainer
from hrdet.engine.work_dir import WorkDir
from hrdet.logger import start_logging
from hrdet.ops.library import check
from hrdet.optim import shorten_warm_up
from hrdet.registry import ConfigError, build, registered
from hrdet.tracking import build_trackers, doubts
from hrdet.weights import find_shared


@dataclass(slots=True)
class TrainOptions:
    """Choices of the command line for a training run; None leaves one to the config."""

    work_dir: str | None = None
    resume_from: str | None = None
    load_from: str | None = None
    seed: int | None = None
    deterministic: bool = False
    validate: bool = True
    auto_resume: bool = True  # from work_dir/latest.pth
    auto_scale_lr: bool = True
    check_images: bool = True  # every image before the first iteration; else a few


@dataclass(slots=True)
class TestOptions:
    """Choices of the command line for a test."""

    __test__ = False  # no class of tests

    metrics: list[str] | None = None  # in place of those of the config's evaluator
    speed: dict[str, Any] | None = None  # of hrdet.optimize.optimize; None: as it was trained
    tta: bool = False  # with the views that the config has for test-time augmentation
    evaluate: bool = True  # False builds no evaluator, for data without truth
    check_images: bool = True  # every image before the first prediction; else a few


def build_trainer(
    config: Config, options: TrainOptions, launcher: str = 'none', force_cpu: bool = False
) -> Trainer:
    """Everything a training run needs, loaded and ready for ``trainer.run()``.

    Raises:
        ConfigError, DataError, CheckpointError, WorkDirError, FileNotFoundError: before the first
            iteration, with what to change.
    """
    # 1. Lower the config: every key is checked before data is read.
    run = lower(config).check()
    run.check_trainable()
    training, runtime = run.training, run.runtime
    # 2. Processes, device and work folder.
    device = _device(run, launcher, force_cpu)
    work_dir = WorkDir(options.work_dir or runtime.work_dir, runtime.log_level)
    # 3. Where the run starts: a run to resume decides the seed, and needs no other weights.
    resume_from = on_rank_0(_resume_from, options, run, work_dir.path)
    load_from = resume_from or options.load_from or runtime.load_from
    seed = _seed(options, runtime.seed, resume_from)
    _set_up_torch(seed, runtime.cudnn_benchmark, options.deterministic)
    if not options.auto_scale_lr and training.auto_scale_lr:
        training.auto_scale_lr = training.auto_scale_lr | dict(enable=False)
    # 4. Data and model; the number of classes comes from the data set.
    train_set, train_loader = _data(run.train, options.check_images, runtime.on_bad_image, seed)
    model = hrdet.models.build_model(run, train_set.classes)
    if runtime.pretrained and not load_from:
        work_dir.logger.info(f'{load_backbone(model.backbone, find_shared(runtime.pretrained))}')
    # 5. Validation and the trainer, with its hooks and trackers.
    validation = _validation(run, train_set, options)
    val_set = validation and validation.loader.dataset
    bar = [ProgressBar()] if rank() == 0 and sys.stdout.isatty() else []
    epoch_length = len(train_loader.batch_sampler)
    max_iters = training.max_iters or training.max_epochs * epoch_length
    training.schedule, note = shorten_warm_up(training.schedule, epoch_length, max_iters)
    run.warnings += [note] if note else []
    work_dir.log_start(device, seed)
    trainer = Trainer(
        model,
        train_loader,
        training,
        device=device,
        work_dir=work_dir,
        seed=seed,
        validation=validation,
        meta=_meta(config, run, train_set, val_set),
        hooks=[*build(training.hooks), *bar],
        trackers=build_trackers(training.trackers, work_dir.path),
    )
    # 6. Weights; on a resume optimizer, schedule and position in the epoch too.
    if resume_from:
        resume(trainer, resume_from)
    elif load_from:
        load_weights(trainer, load_from)
    work_dir.logger.info(train_set.report)
    if rank() == 0:
        for text in run.warnings + doubts(trainer.model, training.amp, train_set, val_set):
            work_dir.logger.warning(text)
        config.dump(str(work_dir.path / (Path(config.filename or 'config.py').name)))
    return trainer


def _validation(run: RunConfig, train_set: Any, options: TrainOptions) -> Validation | None:
    """The loader of ``run.val`` and its evaluator."""
    if run.val is None or not options.validate:
        return None
    val_set, loader = _data(run.val, options.check_images, run.runtime.on_bad_image)
    _check_classes(train_set.classes, val_set.classes, 'the model')
    return Validation(loader, build(run.val['evaluator'], dataset=val_set))


def _meta(config: Config, run: RunConfig, train_set: Any, val_set: Any) -> dict[str, Any]:
    """The ``meta`` of checkpoints: classes, colours, config text, box convention, data.

    With it other tools need no data set, and a resumed run detects that its data differ.
    """
    meta = dict(classes=list(train_set.classes), config=config.pretty_text)
    if train_set.palette is not None:
        meta['palette'] = [list(colour) for colour in train_set.palette]
    if 'convention' in run.model:
        meta['box_convention'] = str(run.model['convention'])
    # A line that identifies the content of each data set, wherever its files lie.
    sets = dict(train=train_set) | ({} if val_set is None else dict(val=val_set))
    meta['data'] = {name: re.sub(r'\S*/', '', one.report) for name, one in sets.items()}
    return meta


def build_tester(
    config: Config,
    checkpoint: str,
    options: TestOptions,
    launcher: str = 'none',
    force_cpu: bool = False,
) -> Tester:
    """Everything a test needs, ready for ``tester.run()``, with the checkpoint's weights.

    Raises:
        ConfigError, DataError, CheckpointError, FileNotFoundError: with what to change.
    """
    run = lower(config)
    views = run.use_tta() if options.tta else None
    run.check()
    if run.test is None:
        raise ConfigError('data.test: testing needs this key')
    device = _device(run, launcher, force_cpu)
    logger = start_logging(run.runtime.log_level)
    test_set, loader = _data(run.test, options.check_images, run.runtime.on_bad_image)
    evaluator = None
    if options.evaluate:
        node = run.test['evaluator']
        if options.metrics is not None:
            node = node.replaced(**registered(node['type'], node.path).choose(options.metrics))
        evaluator = build(node, dataset=test_set)
    # No fresh weights: every one comes from the checkpoint, or the report says so.
    model = hrdet.models.build_model(run, test_set.classes, fresh=False)
    report = load_checkpoint(model, find_shared(checkpoint))
    _check_classes(report.classes, test_set.classes, checkpoint)
    model.palette = test_set.palette
    model = model.to(device)
    if options.speed is not None:
        model = hrdet.optimize.optimize(model.eval(), **options.speed)
    logger.info(f'{report}')
    for text in run.warnings if rank() == 0 else ():
        logger.warning(text)
    switches = ', '.join(f'{name} {value}' for name, value in (options.speed or {}).items())
    logger.info(f'inference model: {"optimized, " if options.speed else "not optimized"}{switches}')
    if views:
        logger.info(f'test-time augmentation: {views}')
    return Tester(model, loader, evaluator, device, Path(run.runtime.work_dir or '.'))


def _device(run: RunConfig, launcher: str, force_cpu: bool) -> torch.device:
    """Join the run's processes; missing operators are an error here, before the data is read."""
    device = start(launcher, force_cpu, run.runtime.backend)
    check(device)
    return device


def _resume_from(options: TrainOptions, run: RunConfig, work_dir: Path) -> str | None:
    # A checkpoint that is named wins; else latest.pth, unless the user asks for a new run, also by
    # naming the weights to start it from.
    named = options.resume_from or run.runtime.resume_from
    if named is not None or options.load_from is not None or not options.auto_resume:
        return named
    latest = work_dir / LATEST
    if latest.is_symlink() and not latest.exists():
        raise CheckpointError(
            f'{latest}: a link to {os.readlink(latest)}, which does not exist. Restore that file, '
            f'or delete the link to start anew'
        )
    return _whole(latest) if latest.is_file() else None


def _whole(latest: Path) -> str:
    """``latest``, or the newest numbered checkpoint that can be read if it is damaged."""
    numbered = [path for kind in ('epoch', 'iter') for path in latest.parent.glob(f'{kind}_*.pth')]
    damage = None
    for path in [latest, *sorted(numbered, key=lambda path: -path.stat().st_mtime)]:
        try:
            read_meta(path)
        except CheckpointError as error:
            damage = damage or error
            continue
        if damage is not None:
            logging.getLogger('hrdet').warning(f'{damage}. {path.name} is resumed from instead')
        return str(path)
    cure = 'restore one and name it with --resume-from, or start anew with --no-auto-resume'
    raise CheckpointError(f'{damage}. No other checkpoint in the folder is whole: {cure}')


def _seed(options: TrainOptions, configured: int | None, resume_from: str | None) -> int:
    # The order of the data follows from the seed, so that a resumed run must keep it.
    wanted = configured if options.seed is None else options.seed
    saved = on_rank_0(read_meta, resume_from).get('seed') if resume_from else wanted
    if wanted is not None and wanted != saved:
        raise ConfigError(
            f'seed={wanted}, but {resume_from} is of a run with seed {saved}: leave the seed out '
            f'to continue that run, or start a new one with --no-auto-resume in another work_dir'
        )
    return broadcast_object(randbelow(2**31)) if type(saved) is not int else saved


def _set_up_torch(seed: int, cudnn_benchmark: bool, deterministic: bool) -> None:
    torch.manual_seed(seed)
    cv2.setNumThreads(0)  # the loader's workers are the parallelism
    torch.backends.cudnn.benchmark = cudnn_benchmark and not deterministic
    if deterministic:
        # cuBLAS refuses deterministic mode without a fixed workspace.
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True)


def _data(
    section: Node, check_images: bool, on_bad_image: str, seed: int | None = None
) -> tuple[Any, DataLoader]:
    """The checked data set of a section, and this process's loader; ``seed`` is for training."""
    training = seed is not None
    dataset = build(section['dataset'])
    check = check_images, section.get('num_workers', 2)
    if on_bad_image == 'skip':
        dataset = hrdet.data.skip_bad_images(dataset, training, *check)
    options = dict(rank=rank(), world_size=world_size(), seed=seed or 0, **loader_options(section))
    loader = hrdet.data.build_loader(dataset, training=training, **options)
    # All images and truths, or a few of them, on rank 0.
    if on_bad_image == 'error':
        on_rank_0(hrdet.data.check_images, dataset, *check)
    return dataset, loader


def _check_classes(trained: tuple[str, ...] | None, tested: tuple[str, ...], model: str) -> None:
    """Check that training and evaluation have the same classes in the same order."""
    # A checkpoint without names (None) is compared with nothing.
    names = [[name.replace('_', ' ') for name in side or tested] for side in (trained, tested)]
    if names[0] != names[1]:  # 2019's checkpoints write COCO's 'traffic light' with an underscore
        raise ConfigError(
            f'{model} is trained on the classes {tuple(trained)}, the data to evaluate on has '
            f'{tuple(tested)}: set classes=(...) in the config to the trained classes'
        )
