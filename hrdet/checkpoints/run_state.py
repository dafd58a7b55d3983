"""Compare what a checkpoint says about its run with the run that is about to resume from it.

Every function raises a ValueError whose text follows 'training cannot resume from it: '.
"""

import math
from typing import Any

from torch import Tensor

from hrdet.messages import plural


def check_run(saved: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare the meta of a checkpoint with this run's: processes, batches, classes, data."""

    def differs(name: str) -> bool:
        return name in saved and name in ours and saved[name] != ours[name]

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
            f'it is trained on the classes {tuple(saved["classes"])}, the data has '
            f'{tuple(ours["classes"])}'
        )
    if saved.get('epoch_length') != ours['epoch_length']:
        raise ValueError(
            f'it comes from epochs of {saved.get("epoch_length")} iterations, here they have '
            f'{ours["epoch_length"]}: the data, images per process or number of processes differ'
        )
    # The training data by its report, without folders.
    then, now = (side.get('data', {}).get('train') for side in (saved, ours))
    if then and now and then != now:
        raise ValueError(f'it is trained on other data: {then}; here {now}')


def check_counters(
    meta: dict[str, Any], scaler: dict[str, Any], ema: Any, weights: dict[str, Tensor]
) -> None:
    """Check that iterations, loss scale and averaged weights are possible values."""
    counts = {name: meta.get(name) for name in ('iter', 'epoch', 'position', 'seed')}
    if ema is not None:
        counts['ema.steps'] = ema.get('steps')
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise ValueError(f'it has {name}={value!r}, which is not a count')
    # The position in the epoch must follow from the iteration.
    if meta['epoch'] * meta['epoch_length'] + meta['position'] != meta['iter']:
        raise ValueError('its counts of epochs and iterations contradict each other')
    for name, value in scaler.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise ValueError(f'its loss scaler has {name}={value!r}')
    for name, value in (ema or {}).get('training', {}).items():
        if name not in weights or value.shape != weights[name].shape:
            raise ValueError(f'its averaged weights do not fit its weights at {name}')
