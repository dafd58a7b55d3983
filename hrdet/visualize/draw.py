"""Boxes, masks, names and scores on an image, with OpenCV."""

import colorsys
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

from hrdet.structures import Detections, GroundTruth

Colour = tuple[int, int, int]  # blue, green, red in 0..255

_FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 draws it as TrueType, with all of Unicode
_LEAST_SIDE = 480  # smaller images are enlarged, so that names can be read
_IGNORED: Colour = (150, 150, 150)
_MASK_WEIGHT = 0.45


def colour_of(label: int) -> Colour:
    """A colour for a class: neighbouring labels are far apart in hue, later rounds differ in tone.

    Hues advance by the golden ratio, which spreads any number of them evenly.
    """
    hue = (0.02 + label * 0.61803398875) % 1
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.9, 0.75))[label // 7 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


@dataclass(slots=True)
class _Mark:
    """One object to draw, in pixels of the canvas."""

    box: np.ndarray  # (4,)
    text: str
    colour: Colour
    mask: np.ndarray | None = None  # (H, W) bool, of the canvas

    @property
    def area(self) -> float:
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


def draw(
    image: np.ndarray,
    objects: Detections | GroundTruth,
    classes: Sequence[str] | None = None,
    score_thr: float = 0.3,
    long_side: int | None = None,
) -> np.ndarray:
    """Draw detections, or the truth, on a copy of an image.

    Args:
        image: (h, w, 3) uint8 BGR.
        objects: in pixels of ``image``; ignored regions of a truth are drawn in grey.
        classes: names of the labels 0..K-1; without them the labels' numbers are shown.
        score_thr: detections below it are left out.
        long_side: size of the longer edge of the picture; by default the image's own, or 480 for
            smaller ones.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    canvas, scale = _canvas(image, long_side)
    marks = _marks(objects, classes, score_thr, scale, canvas.shape[:2])
    for mark in marks:
        if mark.mask is not None:
            _fill(canvas, mark)
    style = _Style.of(canvas)
    for mark in marks:
        x1, y1, x2, y2 = np.round(mark.box).astype(int).tolist()
        cv2.rectangle(canvas, (x1, y1), (x2, y2), mark.colour, style.line, cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    for mark in reversed(marks):  # the best and smallest choose their place first
        taken.append(_write_tag(canvas, mark, style, taken))
    return canvas


def save_picture(
    image: np.ndarray | str | os.PathLike,
    objects: Detections | GroundTruth,
    path: str | os.PathLike,
    classes: Sequence[str] | None = None,
    score_thr: float = 0.3,
) -> None:
    """Write ``draw(...)`` to a .jpg or .png file; ``image`` may be the name of an image file."""
    if not isinstance(image, np.ndarray):
        name, image = str(image), cv2.imread(str(image))
        if image is None:
            raise ValueError(f'{name}: not an image OpenCV can read')
    write_image(path, draw(image, objects, classes, score_thr))


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


@dataclass(slots=True)
class _Style:
    """Line width and letter size that suit a canvas."""

    line: int
    font_scale: float
    font_weight: int
    margin: int

    @classmethod
    def of(cls, canvas: np.ndarray) -> '_Style':
        side = min(max(canvas.shape[:2]), 1.6 * min(canvas.shape[:2]))
        font_scale = float(np.clip(side / 1400, 0.4, 2.5))
        line = max(1, round(side / 450))
        return cls(line, font_scale, 1 + (font_scale > 1), max(2, round(5 * font_scale)))


def _canvas(image: np.ndarray, long_side: int | None) -> tuple[np.ndarray, np.ndarray]:
    """A resized copy and its (x, y) scale."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'an image is (h, w, 3) uint8, not {image.shape} {image.dtype}')
    height, width = image.shape[:2]
    factor = (long_side or max(height, width, _LEAST_SIDE)) / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    canvas = image.copy() if factor == 1 else cv2.resize(image, size, interpolation=method)
    return canvas, np.array([size[0] / width, size[1] / height])


def _marks(
    objects: Detections | GroundTruth,
    classes: Sequence[str] | None,
    score_thr: float,
    scale: np.ndarray,
    size: tuple[int, int],
) -> list[_Mark]:
    """What to draw, in drawing order: large before small."""
    scales = np.tile(scale, 2)
    marks = []
    if isinstance(objects, Detections):
        objects = objects.above(score_thr)
        tails = [f' {score:.2f}' for score in objects.scores]
    else:
        tails = [''] * len(objects.boxes)
        marks += [_Mark(box * scales, 'ignored', _IGNORED) for box in np.asarray(objects.ignored)]
    for index, (box, label) in enumerate(zip(np.asarray(objects.boxes), objects.labels)):
        label = int(label)
        name = str(label) if classes is None else classes[label]
        mask = None if objects.masks is None else _mask(objects.masks[index], size)
        marks.append(_Mark(box * scales, name + tails[index], colour_of(label), mask))
    return sorted(marks, key=lambda mark: -mark.area)


def _mask(mask: dict | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = rle.decode(mask) if isinstance(mask, dict) else np.asarray(mask, np.uint8)
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR) > 0


def _fill(canvas: np.ndarray, mark: _Mark) -> None:
    inside = canvas[mark.mask].astype(np.float32)
    canvas[mark.mask] = inside + _MASK_WEIGHT * (np.array(mark.colour, np.float32) - inside)
    outline, _ = cv2.findContours(
        mark.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(canvas, outline, -1, mark.colour, 1, cv2.LINE_AA)


def _write_tag(
    canvas: np.ndarray, mark: _Mark, style: _Style, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """Write the text on a plate at the box, where it covers no other plate if that can be."""
    (text_width, text_height), base = cv2.getTextSize(
        mark.text, _FONT, style.font_scale, style.font_weight
    )
    width, height = text_width + 2 * style.margin, text_height + base + style.margin
    x1, y1, x2, y2 = np.round(mark.box).astype(int).tolist()
    half = style.line // 2
    left, right = x1 - half, x2 + half + 1 - width
    # above the box, inside at its top, below it, inside at its bottom; then the same at the right
    heights = (y1 - half - height, y1 + half, y2 + half, y2 - half - height)
    places = [_inside(canvas, x, y, width, height) for x in (left, right) for y in heights]
    plate = min(places, key=lambda place: sum(_overlap(place, other) for other in taken))
    px, py = plate[:2]
    cv2.rectangle(canvas, plate[:2], (plate[2] - 1, plate[3] - 1), mark.colour, cv2.FILLED)
    blue, green, red = mark.colour
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else (255, 255, 255)
    origin = (px + style.margin, py + text_height + style.margin // 2)
    cv2.putText(
        canvas, mark.text, origin, _FONT, style.font_scale, ink, style.font_weight, cv2.LINE_AA
    )
    return plate


def _inside(canvas: np.ndarray, x: int, y: int, width: int, height: int) -> tuple:
    """The plate at (x, y), moved into the canvas."""
    x = max(0, min(x, canvas.shape[1] - width))
    y = max(0, min(y, canvas.shape[0] - height))
    return x, y, x + width, y + height


def _overlap(a: tuple, b: tuple) -> int:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)
