"""Optimizer and schedules from a checkpoint, and how they differ from what the config asks for."""

from collections import Counter
from typing import Any

from hrdet.engine.optimizer import OptimWrapper

_PROGRESS = {'last_step', 'verbose', 'best', 'num_bad_epochs', 'cooldown_counter'}


def restore(
    optimizer: OptimWrapper, schedulers: list[Any], checkpoint: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Take the optimizer and the schedules to where the checkpoint has them.

    ``schedulers`` are mmengine's, built from the config as the optimizer is.

    Returns:
        Settings by name, as (the checkpoint's, the config's), where the two differ; the
        checkpoint's are in force.

    Raises:
        ValueError: another kind of optimizer, other parameter groups, or other kinds of schedules.
    """
    saved = checkpoint['param_schedulers']
    wanted = [_settings(scheduler.state_dict()) for scheduler in schedulers]
    if [set(_settings(state)) for state in saved] != [set(settings) for settings in wanted]:
        raise ValueError('its schedules are of other kinds than those of the config')
    groups = [dict(group) for group in optimizer.param_groups]
    _load(optimizer, checkpoint['optimizer'])
    differences = {}
    for theirs, ours in zip(optimizer.param_groups, groups):
        for name in ours.keys() & theirs.keys() - {'params'}:
            if f'initial_{name}' not in ours and theirs[name] != ours[name]:  # not scheduled
                differences[name.removeprefix('initial_')] = theirs[name], ours[name]
    for scheduler, state, ours in zip(schedulers, saved, wanted):
        scheduler.load_state_dict(state)
        for name, value in _settings(state).items():
            if value != ours[name]:
                differences[f'{type(scheduler).__name__}.{name}'] = value, ours[name]
    return differences


def _load(optimizer: OptimWrapper, state: dict[str, Any]) -> None:
    foreign = 'its optimizer is of another kind than that of the config'
    try:
        optimizer.load_state_dict(state)
    except KeyError as error:  # torch misses what its kind of optimizer keeps
        raise ValueError(foreign) from error
    # torch adds what older versions did not have; an argument without a value is none of this kind
    if any(optimizer.optimizer.defaults.keys() - group for group in optimizer.param_groups):
        raise ValueError(foreign)


def _settings(state: dict[str, Any]) -> dict[str, Any]:
    """What a scheduler's state says that does not change as training goes on."""
    settings = {
        name: value
        for name, value in state.items()
        if name not in _PROGRESS and not name.startswith('_')
    }
    settings.pop('base_values', None)  # the optimizer's initial values
    if 'milestones' in settings:
        settings['milestones'] = sorted(Counter(settings['milestones']).elements())
        last = settings['begin'] + max(settings['milestones'], default=0)
        if last < settings['end']:  # all of them count, however much longer the run is
            settings['end'] = float('inf')
    return settings
