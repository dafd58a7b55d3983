"""Draw detections and their ground truth: boxes, masks, names and scores."""

from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as rle

from hrdet.messages import plural
from hrdet.structures import Detections, GroundTruth
from hrdet.visualize.draw import Canvas, Colour, describe, paint

_FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 draws it as TrueType, with all of Unicode
_IGNORED: Colour = (150, 150, 150)
_MASK_WEIGHT = 0.45


@paint.register
def _(objects: Detections, canvas: Canvas) -> None:
    objects = objects.above(canvas.score_thr)
    texts = [
        f'{canvas.name(int(label))} {score:.2f}'
        for label, score in zip(objects.labels, objects.scores)
    ]
    _paint_marks(canvas, _marks(objects, texts, canvas))


@paint.register
def _(objects: GroundTruth, canvas: Canvas) -> None:
    """Ignored regions are grey."""
    texts = [canvas.name(int(label)) for label in objects.labels]
    scale = np.tile(canvas.scale, 2)
    ignored = [_Mark(box * scale, 'ignored', _IGNORED) for box in np.asarray(objects.ignored)]
    _paint_marks(canvas, ignored + _marks(objects, texts, canvas))


@describe.register
def _(objects: Detections, score_thr: float) -> str:
    return f'{plural(len(objects.above(score_thr)), "detection")}, score >= {score_thr:g}'


@describe.register
def _(objects: GroundTruth, score_thr: float) -> str:
    return f'truth: {len(objects.boxes)}'


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


def _marks(objects: Detections | GroundTruth, texts: list[str], canvas: Canvas) -> list[_Mark]:
    """The objects with their texts, in pixels of the canvas."""
    size, scale = canvas.pixels.shape[:2], np.tile(canvas.scale, 2)
    masks = [None] * len(texts) if objects.masks is None else objects.masks
    return [
        _Mark(
            box * scale,
            text,
            canvas.colour(int(label)),
            None if mask is None else _mask(mask, size),
        )
        for box, text, label, mask in zip(np.asarray(objects.boxes), texts, objects.labels, masks)
    ]


def _paint_marks(canvas: Canvas, marks: list[_Mark]) -> None:
    """Paint masks, then boxes, then texts; large objects before small ones."""
    marks = sorted(marks, key=lambda mark: -mark.area)
    pixels = canvas.pixels
    for mark in marks:
        if mark.mask is not None:
            _fill(pixels, mark)
    # Boxes over all masks, and texts over all boxes.
    style = _Style.of(pixels)
    for mark in marks:
        x1, y1, x2, y2 = np.round(mark.box).astype(int).tolist()
        cv2.rectangle(pixels, (x1, y1), (x2, y2), mark.colour, style.line, cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    for mark in reversed(marks):  # the small objects choose their place first
        taken.append(_write_tag(pixels, mark, style, taken))


def _mask(mask: dict | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = rle.decode(mask) if isinstance(mask, dict) else np.asarray(mask, np.uint8)
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR) > 0


def _fill(canvas: np.ndarray, mark: _Mark) -> None:
    # Blend the colour into the mask's pixels (p, 3), then draw the outline.
    inside = canvas[mark.mask].astype(np.float32)
    canvas[mark.mask] = inside + _MASK_WEIGHT * (np.array(mark.colour, np.float32) - inside)
    outline, _ = cv2.findContours(
        mark.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(canvas, outline, -1, mark.colour, 1, cv2.LINE_AA)


def _write_tag(
    canvas: np.ndarray, mark: _Mark, style: _Style, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """Write the text on a plate at the box, at the place that covers least of other plates."""
    (text_width, text_height), base = cv2.getTextSize(
        mark.text, _FONT, style.font_scale, style.font_weight
    )
    width, height = text_width + 2 * style.margin, text_height + base + style.margin
    # 1. Size of the plate, and the candidate places at the corners of the box.
    x1, y1, x2, y2 = np.round(mark.box).astype(int).tolist()
    half = style.line // 2
    left, right = x1 - half, x2 + half + 1 - width
    # Above the box, inside at its top, below it, inside at its bottom; at the left, then the right.
    heights = (y1 - half - height, y1 + half, y2 + half, y2 - half - height)
    places = [_inside(canvas, x, y, width, height) for x in (left, right) for y in heights]
    # 2. The place with the least overlap with the plates so far; of equal ones the first.
    plate = min(places, key=lambda place: sum(_overlap(place, other) for other in taken))
    px, py = plate[:2]
    cv2.rectangle(canvas, plate[:2], (plate[2] - 1, plate[3] - 1), mark.colour, cv2.FILLED)
    blue, green, red = mark.colour
    # Black on bright colours, white on dark ones (luma of BT.601).
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
