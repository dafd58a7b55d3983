"""Draw results and truths of every task with OpenCV.

``draw`` makes the canvas.  Functions for each kind of result are registered with ``paint``,
``describe`` and ``compare``: in ``boxes.py`` for detections, in ``labels.py`` for classes of images
and pixels.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import singledispatch
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from hrdet.registry import ConfigError, nearest
from hrdet.structures.result_files import RGB, class_colour

Colour = tuple[int, int, int]  # blue, green, red in 0..255

_MIN_SIDE = 480  # smaller images are enlarged, so that names can be read


def colour_of(label: int) -> Colour:
    """The colour of a class that has none of its own; neighbouring labels are far apart."""
    return class_colour(label)[::-1]


@dataclass(frozen=True, slots=True)
class Style:
    """How results are drawn."""

    line_width: int | None = None  # pixels of the picture; None: by its size, at least 2
    names: bool = True  # names of classes, scores and legends
    color_by: Literal['class', 'instance'] = 'class'  # objects of one class, or each object
    shown: frozenset[int] | None = None  # labels of the objects drawn; None: all

    @classmethod
    def of(cls, options: argparse.Namespace, classes: Sequence[str]) -> 'Style':
        """The style of a command's drawing options, for labels that ``classes`` names.

        Raises:
            ConfigError: ``--classes`` has a name that is not among them.
        """
        for name in options.classes or ():
            if name not in classes:
                raise ConfigError(
                    f'--classes: the model has no class {name!r}{nearest(name, classes)}'
                )
        shown = options.classes and frozenset(map(list(classes).index, options.classes))
        return cls(options.line_width, not options.no_labels, options.color_by, shown)


DEFAULT_STYLE = Style()


def with_style(options: dict[str, Any]) -> dict[str, Any]:
    """Options of ``draw``, in which values of a ``Style`` may stand by themselves."""
    named = {f.name: options[f.name] for f in fields(Style) if f.name in options}
    if not named:
        return options
    style = replace(options.get('style', DEFAULT_STYLE), **named)
    return {key: value for key, value in options.items() if key not in named} | dict(style=style)


@dataclass(slots=True)
class Canvas:
    """What is painted on, and how; a kind may replace ``pixels`` by a larger picture."""

    pixels: np.ndarray  # (H, W, 3) uint8 BGR, painted in place
    scale: np.ndarray  # (x, y): pixels of the canvas per pixel of the image
    classes: Sequence[str] | None  # names of the labels 0..K-1
    score_thr: float  # results below it are left out
    palette: Sequence[RGB] | None = None  # colours of the labels; None: those of ``colour_of``
    truth: Any = None  # about the image, for kinds that have a ``compare``
    style: Style = DEFAULT_STYLE

    def name(self, label: int) -> str:
        """The name of a class, or its number where there are no names."""
        return str(label) if self.classes is None else self.classes[label]

    def colour(self, label: int) -> Colour:
        """The colour of a class."""
        return colour_of(label) if self.palette is None else tuple(self.palette[label][::-1])

    def shows(self, label: int) -> bool:
        """Whether objects of a class are drawn."""
        return self.style.shown is None or label in self.style.shown


@singledispatch
def paint(objects: Any, canvas: Canvas) -> None:
    """Paint a result or a truth, in pixels of its image, on a canvas."""
    kind = type(objects).__name__
    raise TypeError(f'{kind} has no picture: register a function for it with hrdet.visualize.paint')


class Outcome(NamedTuple):
    """What became of a detection, an object, an image or a class on it."""

    label: int
    kind: str  # 'right', or the error
    score: float  # of the detection or the class; 0 for a missed object


class Comparison(NamedTuple):
    """The score of the result for one image."""

    score: float  # 0: all wrong, 1: all right
    text: str
    outcomes: Sequence[Outcome] = ()


@singledispatch
def compare(result: Any, truth: Any, score_thr: float = 0.3) -> Comparison | None:
    """Compare a result with the truth; None: this kind has no score for one image.

    A kind that registers a function here draws the truth into the picture of the result; for other
    kinds the sheet shows a second picture.
    """
    return None


@singledispatch
def describe(objects: Any, score_thr: float) -> str:
    """The caption of such a picture, in a few words."""
    return type(objects).__name__


def draw(
    image: np.ndarray,
    objects: Any,
    classes: Sequence[str] | None = None,
    score_thr: float = 0.3,
    long_side: int | None = None,
    palette: Sequence[RGB] | None = None,
    truth: Any = None,
    style: Style = DEFAULT_STYLE,
) -> np.ndarray:
    """Draw a result, or the truth, on a copy of an image.

    Args:
        image: (h, w, 3) uint8 BGR.
        objects: a result or truth of any kind, in pixels of ``image``.
        classes: names of the labels 0..K-1; without them the labels' numbers are shown.
        score_thr: detections below it are left out.
        long_side: size of the longer edge of the image in the picture; by default the image's own,
            or 480 for smaller ones.
        palette: colours (R, G, B) of the labels 0..K-1.
        truth: about the image; a result that can be compared with it shows both.
        style: line width, names, colours and classes.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    canvas = Canvas(*_resized_copy(image, long_side), classes, score_thr, palette, truth, style)
    paint(objects, canvas)
    return canvas.pixels


def save_picture(
    image: np.ndarray | str | os.PathLike,
    objects: Any,
    path: str | os.PathLike,
    classes: Sequence[str] | None = None,
    score_thr: float = 0.3,
    palette: Sequence[RGB] | None = None,
    truth: Any = None,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Write ``draw(...)`` to a .jpg or .png file; ``image`` may be the name of an image file."""
    if not isinstance(image, np.ndarray):
        name, image = str(image), cv2.imread(str(image))
        if image is None:
            raise ValueError(f'{name}: not an image OpenCV can read')
    write_image(path, draw(image, objects, classes, score_thr, None, palette, truth, style))


def write_image(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture, making its folder; a name or disk that cannot take it is an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        done, data = cv2.imencode(path.suffix or '?', picture)
    except cv2.error:
        done = False
    if not done:
        raise ValueError(f'{path}: name a picture .png or .jpg')
    path.write_bytes(data.tobytes())


def _resized_copy(image: np.ndarray, long_side: int | None) -> tuple[np.ndarray, np.ndarray]:
    """A resized copy and its (x, y) scale."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'an image is (h, w, 3) uint8, not {image.shape} {image.dtype}')
    height, width = image.shape[:2]
    # Small images are enlarged, so that names can be read.
    factor = (long_side or max(height, width, _MIN_SIDE)) / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    copy = image.copy() if factor == 1 else cv2.resize(image, size, interpolation=method)
    return copy, np.array([size[0] / width, size[1] / height])
