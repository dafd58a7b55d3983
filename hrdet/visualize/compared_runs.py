"""Training runs beside each other: a plot with a line for each, and a table."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.visualize.curves import (
    Entry,
    Log,
    choose_scale,
    draw_frame,
    has_epochs,
    metric_groups,
    smoothed,
)


def plot_runs(
    runs: Mapping[str, Log], out_png: str | os.PathLike, metrics: Sequence[str] | None = None
) -> None:
    """Draw the sum of losses and metrics of several runs, a line for each run.

    Args:
        runs: the title of each run, and its log as ``read_log`` returns it.
        out_png: the picture to write.
        metrics: their names (default: ``main_metrics``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics = main_metrics(runs) if metrics is None else metrics
    figure = Figure(figsize=(6 * (1 + len(metrics)), 4.8), layout='constrained')
    FigureCanvasAgg(figure)
    losses, *panels = np.ravel(figure.subplots(1, 1 + len(metrics)))
    by_epoch = all(has_epochs(val, unit) for _, val, unit in runs.values() if val)
    for index, (title, (train, val, _)) in enumerate(runs.items()):
        style = dict(color=f'C{index % 10}', linestyle='--' if index >= 10 else '-')
        values = np.array([entry.get('loss', np.nan) for entry in train], float)
        losses.plot([entry['step'] for entry in train], smoothed(values), label=title, **style)
        for name, axes in zip(metrics, panels):
            _plot_metric(axes, name, val, 'epoch' if by_epoch else 'step', style)
    losses.set(title='training loss', xlabel='iteration', ylabel='sum of losses')
    choose_scale(losses)
    draw_frame(losses)
    for name, axes in zip(metrics, panels):
        axes.set(title=name, xlabel='epoch' if by_epoch else 'iteration')
        axes.xaxis.get_major_locator().set_params(integer=True)
        draw_frame(axes)
    figure.legend(loc='outside lower center', ncols=min(len(runs), 3), frameon=False)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=110)


def _plot_metric(axes: Any, name: str, val: list[Entry], time: str, style: dict[str, str]) -> None:
    """One metric of one run, its best value marked."""
    entries = [entry for entry in val if np.isfinite(entry.get(name, np.nan))]
    if entries:
        axes.plot([e[time] for e in entries], [e[name] for e in entries], 'o', ms=3, **style)
        best = max(entries, key=lambda entry: entry[name])
        axes.plot(best[time], best[name], '*', color=style['color'], markersize=12)


def runs_table(runs: Mapping[str, Log], metrics: Sequence[str] | None = None) -> str:
    """A line for each run: iterations, last loss, and the best and the last value of metrics."""
    metrics = main_metrics(runs) if metrics is None else metrics
    rows = [['run', 'iterations', 'loss']]
    for name in metrics:
        rows[0] += [f'best {name}', 'in epoch', 'last']
    for title, (train, val, _) in runs.items():
        loss = smoothed(np.array([entry.get('loss', np.nan) for entry in train], float))
        row = [title, str(max(entry['step'] for entry in (*train, *val))), _number(loss[-1:])]
        for name in metrics:
            entries = [entry for entry in val if np.isfinite(entry.get(name, np.nan))]
            best = max(entries, key=lambda entry: entry[name], default={})
            last = [entry[name] for entry in entries[-1:]]
            row += [_number([best[name]] if best else []), str(best.get('epoch', '-'))]
            row.append(_number(last))
        rows.append(row)
    # Titles begin at the left, numbers end at the right.
    first, *widths = (max(map(len, column)) for column in zip(*rows))
    lines = ([f'{title:<{first}}', *map(str.rjust, cells, widths)] for title, *cells in rows)
    return '\n'.join(map('  '.join, lines))


def _number(values: Sequence[float]) -> str:
    return f'{values[0]:.4f}' if len(values) else '-'


def main_metrics(runs: Mapping[str, Log]) -> list[str]:
    """The first metric of each kind, such as 'bbox_AP' and 'segm_AP', of all runs."""
    last = [val[-1] for _, val, _ in runs.values() if val]
    return list(dict.fromkeys(group[0] for entry in last for group in metric_groups(entry)))
