"""Contact sheets: predictions beside the truth."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from hrdet.structures import Sample
from hrdet.structures.result_files import RGB
from hrdet.visualize.draw import DEFAULT_STYLE, Style, compare, describe, draw
from hrdet.visualize.labels import shortened

_PAPER, _INK = 255, (60, 60, 60)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTERS = 0.45  # scale of the font
_GAP, _CAPTION = 10, 26  # pixels


class Pair(NamedTuple):
    """One entry of a sheet: ``image`` (h, w, 3) uint8 BGR, result and truth in its pixels."""

    title: str
    image: np.ndarray
    result: Any
    truth: Any


def contact_sheet(
    pairs: Iterable[Pair],
    classes: Sequence[str] | None = None,
    score_thr: float = 0.3,
    columns: int = 2,
    tile: int = 400,
    palette: Sequence[RGB] | None = None,
    style: Style = DEFAULT_STYLE,
) -> np.ndarray:
    """Pairs of pictures, the prediction left and the truth right, ``columns`` pairs in a row.

    Every image fits into a square of ``tile`` pixels.  A result that is compared with its truth
    has one picture for both, and more of them fit into a row where these are narrower.  Returns
    (H, W, 3) uint8 BGR.
    """
    blocks = [_block(pair, classes, score_thr, tile, palette, style) for pair in pairs]
    if not blocks:
        raise ValueError('a contact sheet needs at least one image')
    width = max(block.shape[1] for block in blocks)
    step = width + 3 * _GAP
    columns = min(max(1, columns * (2 * tile + 4 * _GAP) // step), len(blocks))
    return _in_rows(blocks, columns, step)


def _in_rows(blocks: Sequence[np.ndarray], columns: int, step: int) -> np.ndarray:
    """Blocks pasted from left to right, ``step`` pixels from one to the next."""
    rows = []
    for start in range(0, len(blocks), columns):
        in_row = blocks[start : start + columns]
        row = _paper(max(map(len, in_row)) + _GAP, columns * step)
        for left, block in zip(range(0, columns * step, step), in_row):
            row[: len(block), left : left + block.shape[1]] = block
        rows.append(row)
    return np.pad(np.vstack(rows), ((_GAP, 0), (_GAP, 0), (0, 0)), constant_values=_PAPER)


def captioned_sheet(
    pictures: Sequence[tuple[str, np.ndarray]], columns: int = 2, tile: int = 2 * 400
) -> np.ndarray:
    """Pictures (h, w, 3) uint8 BGR with a line of text above each, ``columns`` in a row."""
    if not pictures:
        raise ValueError('a contact sheet needs at least one image')
    width = max(picture.shape[1] for _, picture in pictures)
    blocks = [_captioned(picture, text, width) for text, picture in pictures]
    columns = min(max(1, columns * tile // width), len(blocks))
    return _in_rows(blocks, columns, width + 2 * _GAP)


def batch_sheet(
    samples: Sequence[Sample],
    titles: Sequence[str],
    classes: Sequence[str] | None = None,
    palette: Sequence[RGB] | None = None,
    columns: int = 4,
    tile: int = 400,
) -> np.ndarray:
    """Samples after their transforms with their truth, all enlarged or reduced alike.

    The longest side of all is ``tile`` pixels in the picture, (H, W, 3) uint8 BGR.
    """
    longest = max(max(sample.image.shape[:2]) for sample in samples)
    blocks = []
    for sample, title in zip(samples, titles):
        side = max(1, round(tile * max(sample.image.shape[:2]) / longest))
        picture = draw(sample.image, sample.truth, classes, long_side=side, palette=palette)
        blocks.append(_captioned(picture, title, max(tile, picture.shape[1])))
    return _in_rows(blocks, min(columns, len(blocks)), tile + _GAP)


def _block(
    pair: Pair,
    classes: Sequence[str] | None,
    score_thr: float,
    tile: int,
    palette: Sequence[RGB] | None,
    style: Style,
) -> np.ndarray:
    """The prediction and the truth, in one picture or in two, with a line of text above."""
    options = dict(
        classes=classes, score_thr=score_thr, long_side=tile, palette=palette, style=style
    )
    # One picture if the kind compares result and truth (or there is no truth), else two.
    verdict = compare(pair.result, pair.truth, score_thr)
    if verdict is not None or pair.truth is None:
        picture = draw(pair.image, pair.result, truth=pair.truth, **options)
        text = describe(pair.result, score_thr) if verdict is None else verdict.text
        return _captioned(picture, f'{pair.title}: {text}', max(tile, picture.shape[1]))
    result = draw(pair.image, pair.result, **options)
    truth = draw(pair.image, pair.truth, **options)
    caption = f'{pair.title}: {describe(pair.result, score_thr)}'
    left = _captioned(result, caption, tile)
    right = _captioned(truth, describe(pair.truth, score_thr), tile)
    return np.hstack([left, _paper(len(left), _GAP), right])


def _captioned(picture: np.ndarray, text: str, width: int) -> np.ndarray:
    """A picture in the middle of ``width`` pixels, a line of text above it."""
    block = _paper(_CAPTION + len(picture), width)
    start = (width - picture.shape[1]) // 2
    block[_CAPTION:, start : start + picture.shape[1]] = picture
    text, place = shortened(text, width - 4, _LETTERS), (2, _CAPTION - 8)
    cv2.putText(block, text, place, _FONT, _LETTERS, _INK, 1, cv2.LINE_AA)
    return block


def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)
