"""Loss and AP over a training run, from its JSON-lines log."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

_METRICS = ('AP', 'AP50', 'AP75')
_SMOOTHED_OVER = 0.02  # of the run


def plot_curves(log_path: str | os.PathLike, out_png: str | os.PathLike) -> None:
    """Draw the training losses and the validation AP of a run.

    Args:
        log_path: the run's ``log.jsonl``: one JSON object a line with ``mode`` ('start', 'train',
            'val') and ``step``; losses are ``loss``, ``loss_*`` and, of a cascade, ``s0.loss_*``,
            metrics ``bbox_AP`` and so on. What a resumed run did again is drawn once.
        out_png: the picture to write.

    Raises:
        ValueError: the log holds no losses yet, or a line of it is not JSON.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    train, val = read_log(log_path)
    if not train:
        raise ValueError(f'{log_path}: no losses in it (yet), so there is nothing to plot')
    figure = Figure(figsize=(12 if val else 7, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if val else 1, squeeze=False)[0]
    _plot_losses(axes[0], train)
    if val:
        _plot_metrics(axes[1], val)
    figure.suptitle(Path(log_path).resolve().parent.name, fontsize=11)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=130)


def read_log(path: str | os.PathLike) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The training and validation entries that lead to the last state, in order of their steps."""
    lines = Path(path).read_text().splitlines()
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            if number == len(lines):  # a run that was killed while it wrote
                break
            raise ValueError(f'{path}, line {number}: not JSON: {line[:60]!r}') from None
        if entry['mode'] == 'start':  # a resumed run: later steps were done again
            entries = [e for e in entries if e['step'] <= entry['step']]
        else:
            entries.append(entry)
    return tuple([e for e in entries if e['mode'] == mode] for mode in ('train', 'val'))


def _plot_losses(axes: Any, train: list[dict[str, Any]]) -> None:
    steps = np.array([entry['step'] for entry in train])
    names = [name for name in train[-1] if name.split('.')[-1].startswith('loss')]
    names.sort(key=lambda name: name != 'loss')  # the sum first
    smoothed_top = []
    for index, name in enumerate(names):
        values = np.array([entry.get(name, np.nan) for entry in train], float)
        colour = '#222222' if name == 'loss' else f'C{index - 1}'
        smooth = _smoothed(values)
        if len(values) > 20:
            axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        label = 'sum' if name == 'loss' else name.replace('loss_', '')
        look = dict(linewidth=2 if name == 'loss' else 1.4, linestyle='--' if index > 10 else '-')
        axes.plot(steps, smooth, color=colour, label=label, **look)
        smoothed_top.append(np.nanmax(smooth))
    axes.set(title='training loss', xlabel='iteration', ylim=(0, 1.1 * max(smoothed_top)))
    _finish(axes)


def _plot_metrics(axes: Any, val: list[dict[str, Any]]) -> None:
    epochs = [entry.get('epoch', entry['step']) for entry in val]
    kinds = [kind for kind in ('bbox', 'segm') if f'{kind}_AP' in val[-1]]
    for kind, style in zip(kinds, ('-', '--')):
        for index, name in enumerate(_METRICS):
            values = [entry.get(f'{kind}_{name}', np.nan) for entry in val]
            label = f'{name} {kind}' if len(kinds) > 1 else name
            label += f'  {values[-1]:.3f}'
            axes.plot(epochs, values, f'o{style}', color=f'C{index}', markersize=4, label=label)
    axes.set(title='validation', xlabel='epoch', ylim=(0, 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    _finish(axes)


def _finish(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        # beside the axes, where no line is: constrained layout makes the room
        axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """An exponential average without the bias to its start (Kingma and Ba 2014)."""
    keep = 1 - 1 / max(1.0, _SMOOTHED_OVER * len(values))
    average, weight, result = 0.0, 0.0, np.empty_like(values)
    for index, value in enumerate(values):
        if np.isfinite(value):
            average, weight = keep * average + (1 - keep) * value, keep * weight + 1 - keep
        result[index] = average / weight if weight else np.nan
    return result
