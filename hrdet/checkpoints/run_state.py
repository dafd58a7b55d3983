"""Compare what a checkpoint says about its run with the run that is about to resume from it.

Every function raises a ValueError whose text follows 'training cannot resume from it: '.
"""

import math
from typing import Any

import torch
from torch import Tensor

from hrdet.messages import plural
from hrdet.optim import lr_schedule


def check_run(saved: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare the meta of a checkpoint with this run's: processes, batches, classes, data."""

    def differs(name: str) -> bool:
        return name in saved and name in ours and saved[name] != ours[name]

    for name in ('world_size', 'images_per_process', 'classes', 'epoch_length', 'data'):
        if not _is_plain(saved.get(name)):
            raise ValueError(f'it has {name}={saved[name]!r}, which no run has')
    # 1. What decides the order of the data: processes and batch size.
    if differs('world_size'):
        processes = plural(saved['world_size'], 'process', 'processes')
        raise ValueError(f'it was written by {processes}, this run has {ours["world_size"]}')
    if differs('images_per_process'):
        raise ValueError(
            f'it was trained with {plural(saved["images_per_process"], "image")} per process, '
            f'this run has {ours["images_per_process"]}'
        )
    # 2. What the weights were trained on: classes, length of an epoch, the data set itself.
    if differs('classes'):
        raise ValueError(
            f'it is trained on the classes {_listed(saved["classes"])}, the data has '
            f'{_listed(ours["classes"])}'
        )
    if saved.get('epoch_length') != ours['epoch_length']:
        raise ValueError(
            f'it comes from epochs of {saved.get("epoch_length")} iterations, here they have '
            f'{ours["epoch_length"]}: the data, images per process or number of processes differ'
        )
    # The training data by its report, without folders.
    then, now = (_table(side.get('data')).get('train') for side in (saved, ours))
    if then and now and then != now:
        raise ValueError(f'it is trained on other data: {then}; here {now}')


def check_counters(meta: dict[str, Any], scaler: Any, ema: Any, weights: dict[str, Tensor]) -> None:
    """Check that iterations, loss scale and averaged weights are possible values."""
    counts = {name: meta.get(name) for name in ('iter', 'epoch', 'position', 'seed')}
    if ema is not None:
        counts['ema.steps'] = _table(ema).get('steps')
    stopping = meta.get('early_stopping')
    if stopping is not None:
        stopping = _table(stopping)
        counts |= {name: stopping.get(name) for name in ('best_iter', 'waited')}
        if type(stopping.get('best')) not in (int, float):
            raise ValueError(f'it has early_stopping.best={stopping.get("best")!r}')
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise ValueError(f'it has {name}={value!r}, which is not a count')
    # The position in the epoch must follow from the iteration.
    if meta['epoch'] * meta['epoch_length'] + meta['position'] != meta['iter']:
        raise ValueError('its counts of epochs and iterations contradict each other')
    if not isinstance(scaler, (dict, type(None))):
        raise ValueError('its loss scaler is damaged')
    for name, value in (scaler or {}).items():
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise ValueError(f'its loss scaler has {name}={value!r}')
    for name, value in _table(_table(ema).get('training')).items():
        shape = getattr(value, 'shape', None)
        if name not in weights or shape != weights[name].shape:
            raise ValueError(f'its averaged weights do not fit its weights at {name}')


def check_schedule(
    nodes: list[dict[str, Any]], epoch_length: int, max_iters: int, iteration: int
) -> None:
    """Check that the schedule gives learning rates, now and at the end of the run."""
    if not _is_plain(nodes):
        raise ValueError('its schedule is damaged')
    for step in (iteration, max(max_iters - 1, 0)):
        try:
            probe = torch.optim.SGD([torch.zeros(1)], lr=1.0)
            lr_schedule(probe, nodes, epoch_length, max_iters, step)
            lr = probe.param_groups[0]['lr']
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise ValueError(f'its schedule is damaged: {error}') from None
        if not math.isfinite(lr) or lr < 0:
            raise ValueError(f'its schedule makes the learning rate {lr} times as large')


def _is_plain(value: Any) -> bool:
    """Whether it is made of finite numbers, texts, lists and dicts, as in a config."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (int, str))


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
