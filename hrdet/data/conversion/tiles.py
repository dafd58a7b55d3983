"""Tiles of large aerial images with painted label maps."""

from pathlib import Path

import cv2
import numpy as np

from hrdet.boxes.windows import sliding_windows
from hrdet.data import DataError
from hrdet.data.conversion.plan import write_png
from hrdet.data.conversion.raw_files import RawFile
from hrdet.data.datasets.palettes import Colour


def cut_tiles(
    image: RawFile,
    painted: RawFile,
    labels: dict[Colour, int],
    window: int,
    overlap: int,
    image_folder: Path,
    label_folder: Path,
    name: str,
    label_suffix: str = '.png',
) -> None:
    """Write the tiles of an image and of its label map.

    Smaller images are padded on the right and below: black, labels 255.

    Args:
        image: the large image.
        painted: its label map, in RGB colours.
        labels: by colour; all other colours are 0.
        window: edge of a tile.
        overlap: pixels that a tile shares with the next; the last one is pushed back.
        image_folder: where the tiles go.
        label_folder: where their label maps go.
        name: of a tile, without suffix, with ``{y1}``, ``{y2}``, ``{x1}``, ``{x2}`` in it.
        label_suffix: added to the name of a label map.
    """
    pixels, colours = image.image(), painted.image()
    if pixels.shape != colours.shape:
        sizes = ' and '.join(f'{a.shape[1]} x {a.shape[0]}' for a in (pixels, colours))
        raise DataError(f'{image} and {painted} differ in size: {sizes}')
    # Both become at least one window large.
    label = labels_of_colours(colours, labels)
    right, below = (max(window - edge, 0) for edge in (pixels.shape[1], pixels.shape[0]))
    if right or below:
        border = (0, below, 0, right, cv2.BORDER_CONSTANT)
        pixels = cv2.copyMakeBorder(pixels, *border, value=(0, 0, 0))
        label = cv2.copyMakeBorder(label, *border, value=255)
    stride = window - overlap
    for y1, y2, x1, x2 in sliding_windows(label.shape, (window,) * 2, (stride,) * 2):
        stem = name.format(y1=y1, y2=y2, x1=x1, x2=x2)
        write_png(image_folder / f'{stem}.png', pixels[y1:y2, x1:x2])
        write_png(label_folder / f'{stem}{label_suffix}', label[y1:y2, x1:x2])


def labels_of_colours(image: np.ndarray, labels: dict[Colour, int]) -> np.ndarray:
    """Labels (h, w) uint8 of a painted map (h, w, 3) BGR; 0 for colours that are not listed."""
    # 1. In each channel, the rank of the value among the colours' values, 0 for others; times
    #    a stride, so that the sum over the channels tells the colour and still fits into a byte.
    ranks, stride = np.zeros((1, 256, 3), np.uint8), 1
    for channel in range(3):
        values = sorted({colour[2 - channel] for colour in labels})
        ranks[0, values, channel] = np.arange(1, len(values) + 1) * stride
        stride *= len(values) + 1
    assert stride <= 256, 'too many different values for a byte'
    # 2. The label of each sum.
    table = np.zeros(256, np.uint8)
    for (red, green, blue), label in labels.items():
        table[ranks[0, blue, 0] + ranks[0, green, 1] + ranks[0, red, 2]] = label
    blue, green, red = cv2.split(cv2.LUT(image, ranks))
    return cv2.LUT(blue + green + red, table)
