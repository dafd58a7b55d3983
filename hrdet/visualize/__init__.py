"""Pictures for people: detections on an image, predictions beside the truth, training curves."""

from hrdet.visualize.curves import plot_curves
from hrdet.visualize.draw import colour_of, draw, save_picture
from hrdet.visualize.sheet import Pair, contact_sheet, prediction_sheet

__all__ = [
    'Pair',
    'colour_of',
    'contact_sheet',
    'draw',
    'plot_curves',
    'prediction_sheet',
    'save_picture',
]
