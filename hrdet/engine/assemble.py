"""A Runner from live objects and the plain values of a lowered config."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

import hrdet.config
from hrdet.distributed import rank, world_size
from hrdet.engine.checkpoint_hook import CheckpointHook
from hrdet.engine.ema_hook import EMAHook
from hrdet.engine.log_hook import LogHook
from hrdet.engine.loops import EvalLoop, TestLoop, TrainLoop
from hrdet.engine.optimizer import OptimWrapper, build_optimizer
from hrdet.engine.progress_hook import ProgressHook
from hrdet.engine.runner import Runner

Evaluator = Callable[[list], dict[str, float]]


def trainer(
    lowered: Any,
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader | None,
    evaluator: Evaluator | None,
    **common: Any,
) -> Runner:
    """A Runner that trains, and evaluates where a validation loader is given.

    ``lowered`` is a ``hrdet.config.Lowered``; for ``common`` see ``_runner``.
    """
    device = common['device']
    optimizer = OptimWrapper(
        build_optimizer(model.to(device), lowered.optimizer),
        device,
        lowered.accumulate,
        lowered.grad_clip,
        lowered.amp,
    )
    fields: dict[str, Any] = dict(
        train_dataloader=train_loader,
        train_cfg=dict(
            type=TrainLoop,
            max_epochs=lowered.max_epochs,
            val_interval=lowered.evaluation.get('interval', 1),
        ),
        optim_wrapper=optimizer,
        param_scheduler=lowered.schedule,
        auto_scale_lr=lowered.auto_scale_lr,
    )
    if val_loader is not None:
        fields |= dict(
            val_dataloader=val_loader, val_cfg=dict(type=EvalLoop), val_evaluator=evaluator
        )
    hooks: list[Any] = [] if lowered.ema is None else [EMAHook(**lowered.ema)]
    return _runner(lowered, model, hooks, fields, **common)


def tester(
    lowered: Any, model: nn.Module, test_loader: DataLoader, evaluator: Evaluator, **common: Any
) -> Runner:
    """A Runner that evaluates a model as it is."""
    fields = dict(
        test_dataloader=test_loader, test_cfg=dict(type=TestLoop), test_evaluator=evaluator
    )
    return _runner(lowered, model, [], fields, **common)


def _runner(
    lowered: Any,
    model: nn.Module,
    hooks: list[Any],
    fields: dict[str, Any],
    *,
    device: torch.device,
    work_dir: str,
    seed: int,
    about: dict[str, Any],
    config: hrdet.config.Config | None = None,
    deterministic: bool = False,
    load_from: str | None = None,
    resume: bool = False,
) -> Runner:
    """The Runner; a Runner field that the config sets itself wins over ours.

    ``about`` are plain values for the checkpoints' meta; ``load_from`` is a checkpoint to start
    from, or with ``resume`` to continue.
    """
    if rank() == 0 and sys.stdout.isatty():
        hooks.append(ProgressHook())
    default_hooks = dict(
        logger=LogHook(lowered.log.get('interval', 50)),
        checkpoint=CheckpointHook(**lowered.checkpoint),
        runtime_info=None,  # reads every loss back on every iteration
        timer=None,
        sampler_seed=None,
    )
    training = 'train_dataloader' in fields
    if not training:
        default_hooks = dict.fromkeys([*default_hooks, 'param_scheduler'])
    given = dict(lowered.runner_fields)
    arguments = dict(
        fields,
        model=model,
        work_dir=work_dir,
        experiment_name=Path(work_dir).name,
        default_hooks=default_hooks | given.pop('default_hooks', {}),
        custom_hooks=hooks + given.pop('custom_hooks', []),
        visualizer=Visualizer(name=work_dir, vis_backends=_backends(lowered), save_dir=work_dir),
        launcher='pytorch' if training and world_size() > 1 else 'none',  # wraps the model
        env_cfg=dict(cudnn_benchmark=lowered.cudnn_benchmark),
        randomness=dict(seed=seed, deterministic=deterministic),
        log_level=lowered.log_level,
        load_from=load_from,
        resume=resume,
        cfg=None if config is None else Config(config.to_dict(), filename=config.filename),
    )
    return Runner(device, about, **(arguments | given))


def _backends(lowered: Any) -> list[dict[str, str]]:
    if not lowered.log.get('tensorboard'):
        return []
    if importlib.util.find_spec('tensorboard') is None:
        if rank() == 0:
            print('TensorboardLoggerHook: pip install tensorboard to get its files; training on')
        return []
    return [dict(type='TensorboardVisBackend')]
