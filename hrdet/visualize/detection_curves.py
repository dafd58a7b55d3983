"""Plot precision over recall, and F1 over the score, of detections."""

import os
from pathlib import Path

import numpy as np

from hrdet.evaluation.coco import RECALLS, Scores, f1_scores

_NAMED = 12  # classes in the legend


def plot_detection_curves(scores: Scores, out_png: str | os.PathLike) -> None:
    """Draw both curves of each class at an IoU of 0.5, and their mean.

    F1 falls from its value at the lowest score with which a recall was reached; where no recall was
    reached it is 0.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout='constrained')
    FigureCanvasAgg(figure)
    recall, score = figure.subplots(1, 2)
    known = np.flatnonzero(scores.precision[0] >= 0)
    precision, f1 = scores.precision[:, known], f1_scores(scores.precision[:, known])
    # F1 on one grid of scores: of each class at the largest recall that its detections with that
    # score or more reach.
    grid = np.linspace(0, 1, 201)
    curves = [_over_scores(f1[:, i], scores.thresholds[:, k], grid) for i, k in enumerate(known)]
    names = [name for name, row in scores.per_class.items() if row['AP'] >= 0]
    few = len(names) <= _NAMED
    for index, name in enumerate(names):
        style = dict(label=name, linewidth=1.3) if few else dict(color='#999999', linewidth=0.5)
        recall.plot(RECALLS, precision[:, index], **style)
        score.plot(grid, curves[index], **style)
    if len(known):
        mean = np.mean(curves, axis=0)
        best = len(mean) - 1 - int(mean[::-1].argmax())  # the highest of equally good scores
        style = dict(color='#222222', linewidth=2.5)
        ap50 = scores.numbers['AP50']
        recall.plot(RECALLS, precision.mean(axis=1), label=f'mean, AP50 {ap50:.3f}', **style)
        label = f'mean, best {mean[best]:.3f}\nat score {grid[best]:.2f}'
        score.plot(grid, mean, label=label, **style)
    recall.set(xlabel='recall', ylabel='precision', title=f'{scores.kind}, IoU 0.5')
    score.set(xlabel='score threshold', ylabel='F1', title='F1 = 2 P R / (P + R)')
    for axes, place in ((recall, 'lower left'), (score, 'upper right')):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, framealpha=0.8, edgecolor='none', loc=place)
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=110)


def _over_scores(f1: np.ndarray, thresholds: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """F1 (R,) at thresholds (R,), which fall as recall grows, on a grid of thresholds."""
    reached = int(np.count_nonzero(f1 > 0)) + 1  # the first recall is 0, and so is its F1
    thresholds, f1 = thresholds[:reached], f1[:reached]
    return np.interp(grid, thresholds[::-1], f1[::-1], right=0.0)
