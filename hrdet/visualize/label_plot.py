"""Plot the labels of data sets: classes, positions and sizes of boxes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.data.datasets.statistics import LabelStatistics

_NAMED = 60  # classes with a bar each; of more the most frequent and the rarest


def plot_labels(sets: Mapping[str, LabelStatistics], out_png: str | os.PathLike) -> None:
    """Draw one row for each data set, named by its title.

    Left the labels of each class, which do not differ by more than two powers of ten on a linear
    axis; then, of boxes, where their centres are and how large they are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    has_boxes = any(one.boxes is not None for one in sets.values())
    widest = max(min(len(one.classes), _NAMED) for one in sets.values())
    bars = 3 + 0.14 * widest
    ratios = [bars, 3, 3] if has_boxes else [bars]
    # Margins in inches: a layout engine draws everything several times to find them.
    width, height = sum(ratios) + 1.2 * len(ratios), 4.6 * len(sets)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(sets), len(ratios), width_ratios=ratios, squeeze=False)
    gap = 1.0 * len(ratios) / sum(ratios)
    figure.subplots_adjust(
        0.8 / width, 1.5 / height, 1 - 0.3 / width, 1 - 0.4 / height, gap, 2 / 2.8
    )
    for row, (title, statistics) in zip(axes, sets.items()):
        _plot_classes(row[0], title, statistics)
        if statistics.boxes is not None:
            _plot_boxes(row[1:], statistics.boxes)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=100)


def _plot_classes(axes: Any, title: str, statistics: LabelStatistics) -> None:
    counts, names = statistics.counts, np.array(statistics.classes)
    total, text = counts.sum(), ''
    if len(names) > _NAMED:
        order = np.argsort(-counts, kind='stable')
        order = np.concatenate((order[: _NAMED // 2], order[-_NAMED // 2 :]))
        text = f', the {_NAMED // 2} most frequent and rarest of {len(names)} classes'
        counts, names = counts[order], names[order]
    shares = statistics.unit == 'pixels'
    values = 100 * counts / max(total, 1) if shares else counts
    places = np.arange(len(names))
    axes.bar(places, values, color='#4c72b0')
    # A class without labels is the usual mistake: it gets a red cross.
    absent = places[counts == 0]
    axes.plot(absent, np.zeros(len(absent)), 'x', color='#c44e52', clip_on=False)
    positive = values[values > 0]
    if len(positive) and positive.max() > 100 * positive.min():
        axes.set_yscale('log')
    axes.set_xticks(places, [name.split(',')[0] for name in names], rotation=90, fontsize=8)
    axes.set_ylabel('% of the pixels' if shares else statistics.unit)
    count = '' if shares else f': {total:,} {statistics.unit}'
    axes.set_title(f'{title}{count}{text}', fontsize=9)
    axes.spines[['top', 'right']].set_visible(False)


def _plot_boxes(pair: Any, boxes: np.ndarray) -> None:
    """Centres and sizes of boxes (m, 4), as fractions of their images."""
    places, sizes = pair
    bins = 20 if len(boxes) < 5000 else 50
    style = dict(cmap='viridis', cmin=1)
    places.hist2d(boxes[:, 0], 1 - boxes[:, 1], bins=bins, range=[[0, 1], [0, 1]], **style)
    places.set(title='centres', xlabel='x / width', ylabel='y / height')
    places.set_yticks([0, 0.5, 1], ['1', '0.5', '0'])  # images begin at the top
    # Most boxes are small, so the size is on a logarithmic axis.
    edges = np.geomspace(0.01, 1, bins + 1)
    sizes.hist2d(*boxes[:, 2:].clip(0.01, 1).T, bins=edges, **style)
    sizes.set(title='sizes', xlabel='width / image width', ylabel='height / image height')
    ticks = [0.01, 0.1, 1]
    sizes.set(xscale='log', yscale='log')
    sizes.set_xticks(ticks, map(str, ticks))
    sizes.set_yticks(ticks, map(str, ticks))
