"""Draw class scores, label maps and their ground truth."""

from collections.abc import Sequence

import cv2
import numpy as np

from hrdet.evaluation.confusion import confusion_matrix, iou_scores
from hrdet.messages import plural
from hrdet.structures import ClassLabel, ClassScores, LabelMap, SegmentationMap
from hrdet.structures.truth import SEMANTIC_IGNORE
from hrdet.visualize.draw import Canvas, Colour, Comparison, Outcome, compare, describe, paint

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK = 255, (60, 60, 60)
_RIGHT, _WRONG, _UNKNOWN = (80, 160, 40), (50, 50, 210), (150, 150, 150)
_LABEL_WEIGHT, _IGNORED_WEIGHT = 0.55, 0.65  # of a class's colour; of black where it is ignored

Entry = tuple[Colour, str]  # of a legend


@paint.register
def _(objects: ClassScores, canvas: Canvas) -> None:
    """The class with its score below the image: green if it is right, red if not."""
    ((label, score),) = objects.top(1)
    verdict = compare(objects, canvas.truth)
    colour = _UNKNOWN if verdict is None else _RIGHT if verdict.text == 'right' else _WRONG
    entries = [(colour, f'{canvas.name(label)} {score:.2f}')]
    if colour == _WRONG:
        entries.append((_UNKNOWN, f'truth: {canvas.name(canvas.truth.labels)}'))
    _paint_frame(canvas, colour)
    append_legend(canvas, entries)


@paint.register
def _(objects: ClassLabel, canvas: Canvas) -> None:
    append_legend(canvas, [(_UNKNOWN, f'truth: {canvas.name(objects.labels)}')])


@paint.register
def _(objects: LabelMap, canvas: Canvas) -> None:
    """Labels over the image, beside the truth's where there is one, and a legend below."""
    canvas.palette = canvas.palette or objects.palette
    labels, image = np.asarray(objects), canvas.pixels
    canvas.pixels, counts = _tinted(image, labels, canvas), _counts(labels)
    if canvas.truth is not None:
        truth = np.asarray(canvas.truth.labels)
        gap = np.full((len(image), max(4, image.shape[1] // 100), 3), _PAPER, np.uint8)
        canvas.pixels = np.hstack([canvas.pixels, gap, _tinted(image, truth, canvas)])
        counts = counts + _counts(truth)
    append_legend(canvas, _entries(counts, canvas))


@paint.register
def _(objects: SegmentationMap, canvas: Canvas) -> None:
    labels = np.asarray(objects.labels)
    canvas.pixels = _tinted(canvas.pixels, labels, canvas)
    append_legend(canvas, _entries(_counts(labels), canvas))


@describe.register
def _(objects: ClassScores, score_thr: float) -> str:
    return f'score {objects.top(1)[0][1]:.2f}'


@describe.register(ClassLabel)
@describe.register(SegmentationMap)
def _(objects: ClassLabel | SegmentationMap, score_thr: float) -> str:
    return 'truth'


@describe.register
def _(objects: LabelMap, score_thr: float) -> str:
    count = int(np.count_nonzero(_counts(np.asarray(objects))))
    return plural(count, 'class', 'classes')


@compare.register
def _(result: ClassScores, truth: ClassLabel | None, score_thr: float = 0.3) -> Comparison | None:
    """The probability of the true class."""
    if truth is None:
        return None
    ((label, score),) = result.top(1)
    kind = 'right' if label == truth.labels else 'wrong'
    outcomes = [Outcome(k, kind, score) for k in sorted({label, int(truth.labels)})]
    return Comparison(float(result.scores[truth.labels]), kind, outcomes)


@compare.register
def _(result: LabelMap, truth: SegmentationMap | None, score_thr: float = 0.3) -> Comparison | None:
    """The mean IoU of the classes on the image; a class is right from an IoU of 0.5 on."""
    if truth is None:
        return None
    matrix = confusion_matrix(np.asarray(result), truth.labels, SEMANTIC_IGNORE)
    iou = iou_scores(matrix)['IoU']
    mean = float(np.nanmean(iou)) if np.isfinite(iou).any() else 1.0
    present = np.flatnonzero(np.isfinite(iou)).tolist()
    labelled = matrix.sum(axis=1)
    outcomes = [Outcome(k, _kind(iou[k], bool(labelled[k])), float(iou[k])) for k in present]
    return Comparison(mean, f'mean IoU {mean:.2f}; prediction left, truth right', outcomes)


def _kind(iou: float, labelled: bool) -> str:
    """The outcome of a class on an image."""
    if not labelled:
        return 'false'
    return 'right' if iou >= 0.5 else 'poor' if iou > 0 else 'missed'


def _tinted(image: np.ndarray, labels: np.ndarray, canvas: Canvas) -> np.ndarray:
    """A copy of an image (H, W, 3) with the colours of labels (h, w); ignored pixels darker.

    Computed in uint8, because satellite images are large.
    """
    # 1. Labels at the size of the image, and their colours (256, 3).
    counts = _counts(labels)
    labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = np.zeros((256, 3), np.uint8)
    present = np.flatnonzero(counts[:SEMANTIC_IGNORE]).tolist()
    for label in present:
        colours[label] = canvas.colour(label)
    # 2. The mean of image and colour; classes that are not shown are the image alone, and ignored
    #    pixels are the image, darker.
    tinted = cv2.addWeighted(image, 1 - _LABEL_WEIGHT, colours[labels], _LABEL_WEIGHT, 0)
    hidden = [label for label in present if not canvas.shows(label)]
    if hidden:
        labels = np.where(np.isin(labels, hidden), np.uint8(hidden[0]), labels)
        np.copyto(tinted, image, where=(labels == hidden[0])[..., None])
    if counts[SEMANTIC_IGNORE]:
        dark = cv2.convertScaleAbs(image, alpha=1 - _IGNORED_WEIGHT)
        np.copyto(tinted, dark, where=(labels == SEMANTIC_IGNORE)[..., None])
    # 3. A light line where two labels meet.
    width = canvas.style.line_width or max(2, round(max(image.shape[:2]) / 450))
    edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((width, width), np.uint8)) > 0
    tinted[edge] = np.rint(tinted[edge] * np.float32(0.4) + np.float32(0.6 * _PAPER))
    return tinted


def _counts(labels: np.ndarray) -> np.ndarray:
    """(256,) float32: pixels by label, exact to 2^24."""
    column = np.ascontiguousarray(labels).reshape(-1, 1)
    return cv2.calcHist([column], [0], None, [256], [0, 256]).ravel()


def _entries(counts: np.ndarray, canvas: Canvas) -> list[Entry]:
    """The classes with pixels, those with most of them first."""
    entries: list[Entry] = [
        (canvas.colour(label), canvas.name(label))
        for label in np.argsort(-counts, kind='stable').tolist()
        if counts[label] and label != SEMANTIC_IGNORE and canvas.shows(label)
    ]
    return entries + [((0, 0, 0), 'ignored')] * bool(counts[SEMANTIC_IGNORE])


def _paint_frame(canvas: Canvas, colour: Colour) -> None:
    height, width = canvas.pixels.shape[:2]
    line = max(2, max(height, width) // 100)
    corner = (width - 1 - line // 2, height - 1 - line // 2)
    cv2.rectangle(canvas.pixels, (line // 2, line // 2), corner, colour, line)


def append_legend(canvas: Canvas, entries: Sequence[Entry]) -> None:
    """Put a legend below the picture: a square of each colour and its text, in as many lines."""
    if not canvas.style.names or not entries:
        return
    # All lengths grow with the width of the picture.
    width = canvas.pixels.shape[1]
    scale = float(np.clip(width / 1400, 0.42, 1.6))
    square = round(22 * scale)
    gap, line = round(10 * scale), round(34 * scale)
    # 1. The place of each entry, from left to right, in a new line where the last one is full.
    places, x, y = [], gap, 0
    for colour, text in entries:
        text = shortened(text, width - 3 * gap - square, scale)
        needed = square + gap // 2 + cv2.getTextSize(text, _FONT, scale, 1)[0][0] + 2 * gap
        if x > gap and x + needed > width:
            x, y = gap, y + line
        places.append((x, y, colour, text))
        x += needed
    # 2. Drawn on a strip of paper.
    strip = np.full((y + line + gap, width, 3), _PAPER, np.uint8)
    for x, y, colour, text in places:
        top = y + (line + gap - square) // 2
        cv2.rectangle(strip, (x, top), (x + square, top + square), colour, cv2.FILLED)
        start = (x + square + gap // 2, top + square - round(4 * scale))
        cv2.putText(strip, text, start, _FONT, scale, _INK, 1, cv2.LINE_AA)
    canvas.pixels = np.vstack([canvas.pixels, strip])


def shortened(text: str, width: int, scale: float) -> str:
    """Text that fits into so many pixels: its middle is left out."""
    while cv2.getTextSize(text, _FONT, scale, 1)[0][0] > width and len(text) > 12:
        middle = len(text) // 2
        text = text[: middle - 2] + '…' + text[middle + 1 :]
    return text
