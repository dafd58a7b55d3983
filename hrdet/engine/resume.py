"""Start from a checkpoint: load its weights only, or resume its run exactly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hrdet.checkpoints import CheckpointError, load_checkpoint, read_checkpoint
from hrdet.checkpoints.optimizer_state import check_optimizer_state, laid_out
from hrdet.checkpoints.run_state import check_counters, check_run, check_schedule
from hrdet.distributed import world_size
from hrdet.engine.checkpointing import LATEST
from hrdet.optim import lr_schedule
from hrdet.weights import find_shared

if TYPE_CHECKING:
    from hrdet.engine.trainer import Trainer

_ENDS_WITH_THE_RUN = ('CosineAnnealingLR', 'StepLR', 'MultiStepLR', 'ExponentialLR')


def load_weights(trainer: Trainer, path: str | os.PathLike) -> None:
    """Start a new run from a checkpoint's weights; class layers of another size stay as they are.

    Raises:
        CheckpointError: anything else does not fit.
    """
    try:
        content = read_checkpoint(find_shared(path))
        report = load_checkpoint(trainer.model, content, other_classes=True, name=str(path))
    except (CheckpointError, FileNotFoundError) as error:
        raise CheckpointError(
            f'{error}\nload_from= starts from the weights of the same model, whose classes '
            f'may be others; to take the backbone alone, name the file in model.pretrained'
        ) from None
    trainer.logger.info(f'{report}')
    if trainer.step.ema is not None:
        trainer.step.ema.restart()


def resume(trainer: Trainer, path: str | os.PathLike) -> None:
    """Continue the run that wrote ``path``, from the iteration after its last.

    Raises:
        CheckpointError: the file cannot be resumed from (weights only, another model, data, batch
            size, number of processes or optimizer, damaged state).
    """
    checkpoint = read_checkpoint(path)
    meta, state = checkpoint.get('meta'), checkpoint.get('optimizer')
    if not isinstance(state, dict) or not isinstance(meta, dict) or 'position' not in meta:
        raise CheckpointError(
            f'{path}: holds no optimizer state of an hrdet run, so that training cannot '
            f'resume from it; start from its weights with load_from='
        )
    # 1. Compare everything before anything is loaded.
    weights = dict(checkpoint['state_dict'])
    try:
        check_run(meta, trainer.meta | trainer.state() | dict(world_size=world_size()))
        check_optimizer_state(trainer.optimizer, state)
        check_counters(meta, state.get('loss_scaler'), checkpoint.get('ema'), weights)
        schedule = _schedule_of(checkpoint, trainer)
    except ValueError as error:
        raise CheckpointError(
            f'{path}: training cannot resume from it: {error}. Resume with the settings that it '
            f'was written with, or start a new run with --no-auto-resume in another work_dir, '
            f'from these weights with load_from='
        ) from error
    # 2. Weights.  With EMA ``state_dict`` is the average; the trained weights are under ``ema``.
    weights.update(checkpoint.get('ema', {}).get('training', {}))
    load_checkpoint(trainer.model, dict(checkpoint, state_dict=weights), name=str(path))
    if trainer.step.ema is not None:
        trainer.step.ema.restart(checkpoint)
    # 3. Optimizer and schedule.
    differences = _load_optimizer(trainer, state) | _differences(
        schedule, trainer.training.schedule
    )
    trainer.iter = meta['iter']
    trainer.schedule = lr_schedule(
        trainer.optimizer, schedule, trainer.epoch_length, trainer.max_iters, trainer.iter
    )
    # 4. Early stopping, the user's hooks, and a warning about changed settings.
    if trainer.early_stopping is not None and 'early_stopping' in meta:
        trainer.early_stopping.state.update(meta['early_stopping'])
    trainer.resumed = True
    # A stop may have come between latest.pth and its second name.
    numbered = trainer.iter % (trainer.checkpoints.interval * trainer.unit) == 0
    if numbered and os.path.realpath(path) == os.path.realpath(trainer.work_dir / LATEST):
        trainer.checkpoints.number(trainer)
    trainer.call('after_resume', checkpoint)
    if differences:
        listed = '; '.join(f'{k}: {old}, not {new}' for k, (old, new) in differences.items())
        trainer.logger.warning(
            f'{path}: the schedule and optimizer settings of the checkpoint are used, not '
            f'those of the config ({listed}). To train with the changed ones, start a new '
            f'schedule from these weights with load_from='
        )
    place = f'epoch {trainer.epoch + 1}, iteration {trainer.position + 1} of {trainer.epoch_length}'
    ended = f'all {trainer.max_iters} iterations are done'
    left = f'{place} comes next' if trainer.iter < trainer.max_iters else ended
    trainer.logger.info(f'resumed from {path}: {left}')


def _schedule_of(checkpoint: dict[str, Any], trainer: Trainer) -> list[dict[str, Any]]:
    """The checkpoint's schedule, checked.

    Checkpoints of hrdet 0.1 hold states of mmengine's schedulers instead: for them the config's
    schedule is used, which needs the iteration only.
    """
    ours = trainer.training.schedule
    saved = checkpoint.get('schedule', ours)
    check_schedule(saved, trainer.epoch_length, trainer.max_iters, checkpoint['meta']['iter'])
    same_kinds = [node['type'] for node in saved] == [node['type'] for node in ours]
    older = checkpoint.get('param_schedulers', ours)
    if not same_kinds or not isinstance(older, list) or len(older) != len(ours):
        raise ValueError("its schedules are of other kinds than the config's")
    return saved


def _load_optimizer(trainer: Trainer, state: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Load the state; settings by name, as (the checkpoint's, the config's), that differ."""
    # load_state_dict replaces the settings of the groups, so keep the config's to compare.
    configured = [dict(group) for group in trainer.optimizer.param_groups]
    trainer.optimizer.load_state_dict(laid_out(trainer.optimizer, state))
    if state.get('loss_scaler'):  # empty where the run that wrote it used no fp16
        trainer.step.scaler.load_state_dict(state['loss_scaler'])
    differences = {}
    for theirs, ours in zip(trainer.optimizer.param_groups, configured):
        for name in ours.keys() - {'params', 'lr'}:  # lr follows from initial_lr and the schedule
            if theirs.setdefault(name, ours[name]) != ours[name]:
                differences[name.removeprefix('initial_')] = theirs[name], ours[name]
    return differences


def _differences(
    saved: list[dict[str, Any]], ours: list[dict[str, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Settings of schedules that differ, but for the end of a run that is now longer."""
    return {
        f'{then["type"]}.{name}': (then.get(name), now.get(name))
        for then, now in zip(saved, ours)
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
        and not (name == 'end' and then['type'] in _ENDS_WITH_THE_RUN)
    }
