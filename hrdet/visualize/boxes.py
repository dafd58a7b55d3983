"""Draw detections and their ground truth: boxes, masks, names and scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from hrdet.evaluation.outcomes import outcomes
from hrdet.messages import plural
from hrdet.structures import Detections, GroundTruth
from hrdet.structures.coco_masks import decode
from hrdet.visualize.draw import (
    Canvas,
    Colour,
    Comparison,
    Outcome,
    colour_of,
    compare,
    describe,
    paint,
)
from hrdet.visualize.labels import append_legend

_FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 draws it as TrueType, with all of Unicode
_IGNORED: Colour = (150, 150, 150)
_MASK_WEIGHT = 0.45
# Frames around objects of a comparison that are not right, and what their texts begin with.
_FRAMES: dict[str, tuple[Colour, str]] = {
    'false': ((40, 40, 235), 'x '),
    'double': ((0, 150, 255), '2x '),
    'missed': ((210, 50, 190), '! '),
}


@paint.register
def _(objects: Detections, canvas: Canvas) -> None:
    """With a truth it is beside the detections, and false, double and missed ones are framed."""
    objects = objects.above(canvas.score_thr)
    texts = [
        f'{canvas.name(int(label))} {score:.2f}'
        for label, score in zip(objects.labels, objects.scores)
    ]
    if canvas.truth is None:
        _paint_marks(canvas, _marks(objects, texts, canvas))
        return
    # 1. The outcome of each detection, and which objects of the truth were found.
    verdict = outcomes(objects, canvas.truth)
    wrong = [_frame(kind) for kind in verdict.kinds]
    missed = ['' if found else 'missed' for found in verdict.found]
    # 2. The truth on a copy of the image, with frames around what was missed; both side by side.
    truth = replace(canvas, pixels=canvas.pixels.copy(), truth=None)
    _paint_truth(canvas.truth, truth, missed)
    _paint_marks(canvas, _marks(objects, texts, canvas, wrong))
    gap = np.full((len(truth.pixels), max(4, truth.pixels.shape[1] // 100), 3), 255, np.uint8)
    canvas.pixels = np.hstack([canvas.pixels, gap, truth.pixels])
    # 3. A legend of the frames that occur.
    frames = {*missed, *wrong}
    used = [(colour, f'{sign}{name}') for name, (colour, sign) in _FRAMES.items() if name in frames]
    append_legend(canvas, used)


@paint.register
def _(objects: GroundTruth, canvas: Canvas) -> None:
    """Ignored regions are grey."""
    _paint_truth(objects, canvas)


def _paint_truth(objects: GroundTruth, canvas: Canvas, frames: Sequence[str] = ()) -> None:
    texts = [canvas.name(int(label)) for label in objects.labels]
    scale = np.tile(canvas.scale, 2)
    ignored = [_Mark(box * scale, 'ignored', _IGNORED) for box in np.asarray(objects.ignored)]
    _paint_marks(canvas, ignored + _marks(objects, texts, canvas, frames))


def _frame(kind: str) -> str:
    """The frame of a detection of that outcome: those of ``_FRAMES``, or ''."""
    return kind if kind == 'double' else '' if kind in ('right', 'ignored') else 'false'


@compare.register
def _(result: Detections, truth: GroundTruth | None, score_thr: float = 0.3) -> Comparison | None:
    """F1 of the detections that are drawn."""
    if truth is None:
        return None
    result = result.above(score_thr)
    verdict = outcomes(result, truth)
    # Every detection with its outcome, then every object that none of them found.
    listed = [
        Outcome(int(label), kind, float(score))
        for label, kind, score in zip(result.labels, verdict.kinds, result.scores)
    ]
    listed += [Outcome(int(k), 'missed', 0.0) for k in np.asarray(truth.labels)[~verdict.found]]
    # F1 = 2 TP / (2 TP + FP + FN): wrong are false and double detections, and missed objects.
    found, total = int(verdict.found.sum()), len(verdict.found)
    frames = [_frame(kind) for kind in verdict.kinds]
    counts = {name: frames.count(name) for name in ('false', 'double')}
    wrong = sum(counts.values()) + total - found
    text = ', '.join([f'{found} of {total} found', *(f'{n} {k}' for k, n in counts.items() if n)])
    return Comparison(2 * found / (2 * found + wrong) if found or wrong else 1.0, text, listed)


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
    mask: np.ndarray | None = None  # (H, W) uint8 of 0 and 1, of the canvas
    frame: str = ''  # of ``_FRAMES``

    @property
    def area(self) -> float:
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


@dataclass(slots=True)
class _Pen:
    """Line width and letter size that suit a canvas."""

    line: int
    font_scale: float
    font_weight: int
    margin: int

    @classmethod
    def of(cls, canvas: Canvas) -> '_Pen':
        height, width = canvas.pixels.shape[:2]
        side = min(max(height, width), 1.6 * min(height, width))
        font_scale = float(np.clip(side / 1400, 0.4, 2.5))
        line = canvas.style.line_width or max(2, round(side / 450))
        return cls(line, font_scale, 1 + (font_scale > 1), max(2, round(5 * font_scale)))


def _marks(
    objects: Detections | GroundTruth, texts: list[str], canvas: Canvas, frames: Sequence[str] = ()
) -> list[_Mark]:
    """The objects of the classes that are shown, in pixels of the canvas."""
    size, scale = canvas.pixels.shape[:2], np.tile(canvas.scale, 2)
    boxes, labels = np.asarray(objects.boxes) * scale, np.asarray(objects.labels).tolist()
    by_class, marks = canvas.style.color_by == 'class', []
    for index, label in enumerate(labels):
        if canvas.shows(label):
            mask = None if objects.masks is None else _mask(objects.masks[index], size)
            colour = canvas.colour(label) if by_class else colour_of(index)
            frame = frames[index] if frames else ''
            text = _FRAMES[frame][1] + texts[index] if frame else texts[index]
            marks.append(_Mark(boxes[index], text, colour, mask, frame))
    return marks


def _paint_marks(canvas: Canvas, marks: list[_Mark]) -> None:
    """Paint masks, then boxes, then texts; large objects before small ones."""
    marks = sorted(marks, key=lambda mark: -mark.area)
    pixels, pen = canvas.pixels, _Pen.of(canvas)
    for mark in marks:
        if mark.mask is not None:
            _fill(pixels, mark, pen)
    # Boxes over all masks, and texts over all boxes.
    for mark in marks:
        x1, y1, x2, y2 = np.round(mark.box).astype(int).tolist()
        cv2.rectangle(pixels, (x1, y1), (x2, y2), mark.colour, pen.line, cv2.LINE_AA)
        if mark.frame:
            around = (x1 - pen.line, y1 - pen.line), (x2 + pen.line, y2 + pen.line)
            cv2.rectangle(pixels, *around, _FRAMES[mark.frame][0], pen.line, cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    for mark in (
        reversed(marks) if canvas.style.names else ()
    ):  # small ones choose their place first
        _write_tag(pixels, mark, pen, taken)


def _mask(mask: dict | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = decode(mask) if isinstance(mask, dict) else np.asarray(mask, np.uint8)
    return np.minimum(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR), 1)


def _fill(canvas: np.ndarray, mark: _Mark, pen: _Pen) -> None:
    # Blend the colour into the mask's pixels (p, 3), then draw the outline.
    x, y, width, height = cv2.boundingRect(mark.mask)
    part, mask = (a[y : y + height, x : x + width] for a in (canvas, mark.mask.view(bool)))
    inside = part[mask].astype(np.float32)
    part[mask] = inside + _MASK_WEIGHT * (np.array(mark.colour, np.float32) - inside)
    outline, _ = cv2.findContours(mark.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(canvas, outline, -1, mark.colour, pen.line, cv2.LINE_AA)


def _write_tag(
    canvas: np.ndarray, mark: _Mark, pen: _Pen, taken: list[tuple[int, int, int, int]]
) -> None:
    """Write the text on a plate at the box, where it covers none of the plates in ``taken``.

    Where there is no such place the text is left out: one plate over another hides both.
    """
    (text_width, text_height), base = cv2.getTextSize(
        mark.text, _FONT, pen.font_scale, pen.font_weight
    )
    width, height = text_width + 2 * pen.margin, text_height + base + pen.margin
    # 1. Above the box, inside at its top, below it, inside at its bottom, at the left, then the
    #    right; then down its sides.
    x1, y1, x2, y2 = np.round(mark.box).astype(int).tolist()
    half = pen.line // 2
    heights = [y1 - half - height, y1 + half, y2 + half, y2 - half - height]
    heights += range(y1 + half + height, y2 - half - 2 * height, height)
    places = [
        _inside(canvas, x, y, width, height)
        for heights in (heights[:4], heights[4:])
        for x in (x1 - half, x2 + half + 1 - width)
        for y in heights
    ]
    # 2. The first place that is free.
    plate = next((p for p in places if not any(_overlap(p, other) for other in taken)), None)
    if plate is None:
        return
    taken.append(plate)
    px, py = plate[:2]
    cv2.rectangle(canvas, plate[:2], (plate[2] - 1, plate[3] - 1), mark.colour, cv2.FILLED)
    blue, green, red = mark.colour
    # Black on bright colours, white on dark ones (luma of BT.601).
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else (255, 255, 255)
    origin = (px + pen.margin, py + text_height + pen.margin // 2)
    cv2.putText(canvas, mark.text, origin, _FONT, pen.font_scale, ink, pen.font_weight, cv2.LINE_AA)


def _inside(canvas: np.ndarray, x: int, y: int, width: int, height: int) -> tuple:
    """The plate at (x, y), moved into the canvas."""
    x = max(0, min(x, canvas.shape[1] - width))
    y = max(0, min(y, canvas.shape[0] - height))
    return x, y, x + width, y + height


def _overlap(a: tuple, b: tuple) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
