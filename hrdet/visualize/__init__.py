"""Pictures: results on an image, predictions beside the truth, training curves.

May change: a task registers ``paint``, ``describe`` and ``compare`` for its result and its truth.
Must stay: ``draw``, sheets and curves ask these, never which task it is.
"""

from hrdet.visualize import boxes as _boxes  # noqa: F401, registers the pictures of detections
from hrdet.visualize import labels as _labels  # noqa: F401, of classes of images and pixels
from hrdet.visualize.confusion import plot_confusion
from hrdet.visualize.curves import plot_curves
from hrdet.visualize.draw import (
    Canvas,
    Comparison,
    Outcome,
    Style,
    colour_of,
    compare,
    describe,
    draw,
    paint,
    save_picture,
    with_style,
)
from hrdet.visualize.label_plot import plot_labels
from hrdet.visualize.report import Report
from hrdet.visualize.sheet import Pair, batch_sheet, contact_sheet

__all__ = [
    'Canvas',
    'Comparison',
    'Outcome',
    'Pair',
    'Report',
    'Style',
    'batch_sheet',
    'colour_of',
    'compare',
    'contact_sheet',
    'describe',
    'draw',
    'paint',
    'plot_confusion',
    'plot_curves',
    'plot_labels',
    'save_picture',
    'with_style',
]
