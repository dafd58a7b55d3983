"""Plot a confusion matrix."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MAX_CLASSES = 50  # more cannot be read
_WITH_NUMBERS = 20  # classes whose cells still hold a number


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], out_png: str | os.PathLike) -> None:
    """Draw the shares of each true class by predicted class.

    Args:
        matrix: (K, K) counts by true and predicted class.
        classes: names of the labels 0..K-1.
        out_png: the picture to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Rows in per cent of the true class; 0 for a class without samples.
    counts = matrix.sum(axis=1, keepdims=True)
    shares = 100 * matrix / np.maximum(counts, 1)
    side = 3 + 0.32 * len(classes)
    figure = Figure(figsize=(side + 1, side), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    figure.colorbar(picture, ax=axes, label='% of the true class', shrink=0.8)
    places = range(len(classes))
    names = [name.split(',')[0] for name in classes]  # of ImageNet's synonyms the first
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set(xlabel='prediction', ylabel='truth')
    if len(classes) <= _WITH_NUMBERS:
        for row, column in np.argwhere(shares >= 0.5):
            ink = 'white' if shares[row, column] > 60 else '#333333'
            text = f'{shares[row, column]:.0f}'
            axes.text(column, row, text, ha='center', va='center', color=ink, fontsize=7)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=120, bbox_inches='tight')
