"""Pictures: results on an image, predictions beside the truth, training curves.

May change: a task registers ``paint`` and ``describe`` for its result and its truth.  Must stay:
``draw``, sheets and curves ask these and know no task.
"""

from hrdet.visualize import boxes as _boxes  # noqa: F401, registers the pictures of detections
from hrdet.visualize.curves import plot_curves
from hrdet.visualize.draw import Canvas, colour_of, describe, draw, paint, save_picture
from hrdet.visualize.sheet import Pair, contact_sheet, prediction_sheet

__all__ = [
    'Canvas',
    'Pair',
    'colour_of',
    'contact_sheet',
    'describe',
    'draw',
    'paint',
    'plot_curves',
    'prediction_sheet',
    'save_picture',
]
