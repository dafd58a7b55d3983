"""Plot losses and metrics of a training run from its JSON-lines log."""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

_logger = logging.getLogger('hrdet')
_NOT_METRICS = ('mode', 'step', 'epoch', 'iter', 'time')
_PER_GROUP = 3  # metrics drawn of those that share a prefix; the most important come first
_SMOOTHED_OVER = 0.02  # of the run

Entry = dict[str, Any]
Log = tuple[list[Entry], list[Entry], str | None]  # of ``read_log``


def plot_curves(log_path: str | os.PathLike, out_png: str | os.PathLike) -> None:
    """Draw the training losses and the validation metrics of a run.

    Args:
        log_path: the run's ``log.jsonl``: one JSON object a line with ``mode`` ('start', 'train',
            'val') and ``step``.  A 'start' line names the ``unit`` of the run's length, 'epoch' or
            'iteration', in which metrics are drawn.  Losses are named ``loss``, ``loss_*`` or, of a
            part of the model, ``s0.loss_*``; all other numbers of a 'val' line are metrics.
            Iterations that a resumed run repeated are drawn once.
        out_png: the picture to write.

    Raises:
        ValueError: the log holds no losses yet.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    train, val, unit = read_log(log_path)
    if not train:
        raise ValueError(f'{log_path}: no losses in it (yet), so there is nothing to plot')
    # The Agg canvas needs no display.
    figure = Figure(figsize=(14 if val else 9, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    ratios = [1.2, 0.8, 1.2] if val else [1.2, 0.8]
    losses, rate, *metrics = figure.subplots(1, len(ratios), width_ratios=ratios)
    _plot_losses(losses, train)
    _plot_rate(rate, train)
    if val:
        _plot_metrics(metrics[0], val, unit)
    figure.suptitle(Path(log_path).resolve().parent.name, fontsize=11)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=110)


def best_entry(val: list[Entry]) -> tuple[str, Entry] | None:
    """The name of the first metric, and the validation entry with its largest finite value."""
    groups = metric_groups(val[-1]) if val else []
    if not groups:
        return None
    name = groups[0][0]
    finite = [entry for entry in val if np.isfinite(entry.get(name, np.nan))]
    return (name, max(finite, key=lambda entry: entry[name])) if finite else None


def read_log(path: str | os.PathLike) -> Log:
    """The training and validation entries that lead to the last state, in order of their steps.

    The third value is the unit of the run's length, 'epoch' or 'iteration'; None in old logs.

    A full disk or a killed run leaves torn lines, and the next line may be appended to one: what
    cannot be read is skipped with a warning.
    """
    # 'start' lines mark resumes: entries after their step were trained again.
    lines = Path(path).read_text(errors='replace').splitlines()
    entries: list[Entry] = []
    unit = None
    torn = []
    for number, line in enumerate(lines, 1):
        entry, whole = _parse(line)
        if not whole and line.strip():
            torn.append(number)
        if entry is None:
            continue
        if entry['mode'] == 'start':  # a resumed run: later steps were repeated
            entries = [e for e in entries if e['step'] <= entry['step']]
            unit = entry.get('unit')
        else:
            entries.append(entry)
    if torn:
        _logger.warning(
            '%s: %d of %d lines are not JSON and are left out, line %d first (a full disk or a '
            'killed run leaves such lines)',
            path,
            len(torn),
            len(lines),
            torn[0],
        )
    train, val = ([e for e in entries if e['mode'] == mode] for mode in ('train', 'val'))
    return train, val, unit


def _parse(line: str) -> tuple[Entry | None, bool]:
    """The entry at the end of a line, if there is one, and whether it is the whole line."""
    # A whole entry may follow a torn one on the same line, so try every opening brace.
    for match in re.finditer(r'\{', line):
        try:
            entry = json.loads(line[match.start() :])
        except ValueError:
            continue
        if isinstance(entry, dict) and 'mode' in entry and 'step' in entry:
            return entry, match.start() == 0
    return None, False


def _plot_losses(axes: Any, train: list[Entry]) -> None:
    steps = np.array([entry['step'] for entry in train])
    # One line for each loss: raw values pale, smoothed ones on top.
    names = [name for name in train[-1] if name.split('.')[-1].startswith('loss')]
    names.sort(key=lambda name: name != 'loss')  # the sum first
    if len(names) == 2 and all(e.get(names[0]) == e.get(names[1]) for e in train):
        names = names[1:]  # the sum of one loss is that loss
    for index, name in enumerate(names):
        values = np.array([entry.get(name, np.nan) for entry in train], float)
        colour = '#222222' if name == 'loss' else f'C{max(index - 1, 0)}'
        smooth = smoothed(values)
        if len(values) > 20:
            axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        label = 'sum' if name == 'loss' else name.replace('loss_', '')
        style = dict(linewidth=2 if name == 'loss' else 1.4, linestyle='--' if index > 10 else '-')
        axes.plot(steps, smooth, color=colour, label=label, **style)
    axes.set(title='training loss', xlabel='iteration', ylabel='loss')
    choose_scale(axes)
    _finish(axes)


def choose_scale(axes: Any) -> None:
    """A logarithmic scale where small losses would not be visible beside large ones."""
    low, high = axes.dataLim.intervaly
    if not 0 < high < 10 * low:
        axes.set_yscale('log')
        # Numbers at 1, 2 and 5 of each power of ten.
        axes.yaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_minor_formatter(lambda x, _: f'{x:g}' if f'{x:.0e}'[0] in '25' else '')


def _plot_rate(axes: Any, train: list[Entry]) -> None:
    rates = [entry.get('lr', np.nan) for entry in train]
    axes.plot([entry['step'] for entry in train], rates, color='#222222', linewidth=1.4)
    axes.set(title='learning rate', xlabel='iteration')
    axes.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
    _finish(axes)


def _plot_metrics(axes: Any, val: list[Entry], unit: str | None) -> None:
    by_epoch = has_epochs(val, unit)
    times = [entry['epoch' if by_epoch else 'step'] for entry in val]
    # A line style for each group of metrics, a colour for each metric of a group.
    top = 0.0
    for group, style in zip(metric_groups(val[-1]), ('-', '--', ':', '-.')):
        for index, name in enumerate(group):
            values = np.array([entry.get(name, np.nan) for entry in val], float)
            top = max(top, _highest(values))
            label = f'{name}  {values[-1]:.3f}'
            axes.plot(times, values, f'o{style}', color=f'C{index}', markersize=4, label=label)
    full = 1 if top <= 1 else 100  # fractions, or per cent
    kind = 'epoch' if by_epoch else 'iteration'
    # Mark the best value of the metric that the best checkpoint is chosen by.
    found = best_entry(val)
    if found is not None:
        name, best = found
        when = best['epoch' if by_epoch else 'step']
        label = f'best {name}:\n{best[name]:.3f}, {kind} {when}'
        axes.axvline(when, color='#999999', linewidth=1, linestyle=':', label=label)
        axes.plot(when, best[name], '*', color='#d62728', markersize=12)
    axes.set(title='validation', xlabel=kind, ylim=(0, full))
    axes.set_ylabel('metric, as a fraction' if full == 1 else 'metric in %')
    axes.xaxis.get_major_locator().set_params(integer=True)
    _finish(axes)


def has_epochs(val: list[Entry], unit: str | None) -> bool:
    """Whether every evaluation has an epoch of its own; else the axis counts iterations."""
    epochs = {entry.get('epoch') for entry in val}
    return unit != 'iteration' and None not in epochs and len(epochs) == len(val)


def metric_groups(entry: Entry) -> list[list[str]]:
    """The first metrics of each prefix, such as 'bbox' or 'accuracy', in the order of the entry.

    Scores of single classes ('IoU.road') are left out.
    """
    numbers = [k for k, v in entry.items() if isinstance(v, (int, float)) and '.' not in k]
    names = [name for name in numbers if name not in _NOT_METRICS]
    # 'bbox_AP' belongs to 'bbox', 'accuracy/top1' to 'accuracy'; a prefix of one name is none.
    prefixes = [(re.match(r'(.*?)[_/]', name) or [''])[0] for name in names]
    groups: dict[str, list[str]] = {}
    for name, prefix in zip(names, prefixes):
        groups.setdefault(prefix if prefixes.count(prefix) > 1 else '', []).append(name)
    return [group[:_PER_GROUP] for group in groups.values()]


def draw_frame(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)


def _finish(axes: Any) -> None:
    draw_frame(axes)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        # beside the axes, where no line is: constrained layout makes the room
        axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)


def _highest(values: np.ndarray) -> float:
    """The largest finite value; 0 where there is none."""
    return float(np.max(values[np.isfinite(values)], initial=0))


def smoothed(values: np.ndarray) -> np.ndarray:
    """An exponential average without the bias to its start (Kingma and Ba 2014)."""
    # The weight of the average so far corrects its bias to 0 at the start.
    keep = 1 - 1 / max(1.0, _SMOOTHED_OVER * len(values))
    average, weight, result = 0.0, 0.0, np.empty_like(values)
    for index, value in enumerate(values):
        if np.isfinite(value):
            average, weight = keep * average + (1 - keep) * value, keep * weight + 1 - keep
        result[index] = average / weight if weight else np.nan
    return result
