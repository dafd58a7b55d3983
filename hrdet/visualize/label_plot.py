"""Plot the labels of data sets: classes, positions and sizes of boxes."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.data.datasets.statistics import LabelStatistics

_NAMED = 60  # classes with a bar each; of more the most frequent and the rarest


def plot_labels(sets: Mapping[str, LabelStatistics], out_png: str | os.PathLike) -> None:
    """Draw one row for each data set, below its name.

    Left the labels of each class, on a logarithmic axis if those of a data set differ by more than
    two powers of ten; then, of boxes, where their centres are and how large they are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    has_boxes = any(one.boxes is not None for one in sets.values())
    widest = max(min(len(one.classes), _NAMED) for one in sets.values())
    bars = 3 + 0.14 * widest
    ratios = [bars, 3, 3] if has_boxes else [bars]
    # Margins in inches: a layout engine draws everything several times to find them.
    plot, title, names = 2.8, 0.9, _room_for_names(sets.values())
    width, height = sum(ratios) + 1.2 * len(ratios), (plot + title + names) * len(sets)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(sets), len(ratios), width_ratios=ratios, squeeze=False)
    gap = 1.0 * len(ratios) / sum(ratios)
    figure.subplots_adjust(
        0.8 / width,
        names / height,
        1 - 0.3 / width,
        1 - title / height,
        gap,
        (title + names) / plot,
    )
    logarithmic = any(_differ_much(one.counts) for one in sets.values())
    for row, (name, statistics) in zip(axes, sets.items()):
        top = row[0].get_position().y1 + 0.5 / height
        figure.text(0.1 / width, top, f'{name}: {_summary(statistics)}', fontsize=11)
        _plot_classes(row[0], statistics, logarithmic)
        if statistics.boxes is not None:
            _plot_boxes(row[1:], statistics.boxes)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=100)


def _room_for_names(sets: Iterable[LabelStatistics]) -> float:
    """Inches below a row: names of classes stand upright."""
    longest = max(len(name.split(',')[0]) for one in sets for name in one.classes)
    return min(max(0.6, 0.2 + 0.075 * longest), 2.0)


def _summary(statistics: LabelStatistics) -> str:
    total, classes = statistics.counts.sum(), len(statistics.classes)
    count = '' if statistics.unit == 'pixels' else f'{total:,} {statistics.unit}, '
    shown = '' if classes <= _NAMED else f', of which the {_NAMED // 2} most frequent and rarest'
    return f'{count}{classes} classes{shown}'


def _differ_much(counts: np.ndarray) -> bool:
    positive = counts[counts > 0]
    return len(positive) > 0 and bool(positive.max() > 100 * positive.min())


def _plot_classes(axes: Any, statistics: LabelStatistics, logarithmic: bool) -> None:
    counts, names = statistics.counts, np.array(statistics.classes)
    total = counts.sum()
    if len(names) > _NAMED:
        order = np.argsort(-counts, kind='stable')
        order = np.concatenate((order[: _NAMED // 2], order[-_NAMED // 2 :]))
        counts, names = counts[order], names[order]
    shares = statistics.unit == 'pixels'
    values = 100 * counts / max(total, 1) if shares else counts
    places = np.arange(len(names))
    axes.bar(places, values, color='#4c72b0')
    # A class without labels is the usual mistake: it gets a red cross.
    absent = places[counts == 0]
    axes.plot(absent, np.zeros(len(absent)), 'x', color='#c44e52', clip_on=False)
    if logarithmic and total:
        axes.set_yscale('log')
        axes.yaxis.set_major_formatter('{x:g}')
    axes.set_xticks(places, [name.split(',')[0] for name in names], rotation=90, fontsize=8)
    what = '% of the pixels' if shares else statistics.unit
    axes.set(title=f'{what} of each class', ylabel=what)
    axes.spines[['top', 'right']].set_visible(False)


def _plot_boxes(pair: Any, boxes: np.ndarray) -> None:
    """Centres and sizes of boxes (m, 4), as fractions of their images."""
    places, sizes = pair
    bins = 20 if len(boxes) < 5000 else 50
    style = dict(cmap='viridis', cmin=1)
    count, *_ = places.hist2d(
        boxes[:, 0], 1 - boxes[:, 1], bins=bins, range=[[0, 1], [0, 1]], **style
    )
    places.set(title=_title('centres', count), xlabel='x / width', ylabel='y / height')
    places.set_yticks([0, 0.5, 1], ['1', '0.5', '0'])  # images begin at the top
    # Most boxes are small, so the size is on a logarithmic axis.
    edges = np.geomspace(0.01, 1, bins + 1)
    count, *_ = sizes.hist2d(*boxes[:, 2:].clip(0.01, 1).T, bins=edges, **style)
    labels = dict(xlabel='width / image width', ylabel='height / image height')
    sizes.set(title=_title('sizes', count), **labels)
    ticks = [0.01, 0.1, 1]
    sizes.set(xscale='log', yscale='log')
    sizes.set_xticks(ticks, map(str, ticks))
    sizes.set_yticks(ticks, map(str, ticks))


def _title(what: str, count: np.ndarray) -> str:
    """What the darkest and the lightest colour of a histogram mean."""
    most = np.nan_to_num(count).max(initial=0)
    return what if most < 2 else f'{what} (dark: 1 box, yellow: {most:.0f})'
