"""Contact sheets: predictions beside the truth."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from hrdet.structures import ImageMeta
from hrdet.visualize.draw import describe, draw, write_image

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
) -> np.ndarray:
    """Pairs of pictures, the prediction left and the truth right, ``columns`` pairs in a row.

    Every picture fits into a square of ``tile`` pixels. Returns (H, W, 3) uint8 BGR.
    """
    pairs = list(pairs)
    if not pairs:
        raise ValueError('a contact sheet needs at least one image')
    columns = min(columns, len(pairs))
    width = 2 * tile + _GAP
    rows = []
    for start in range(0, len(pairs), columns):
        # A row as high as its highest block, pasted from left to right.
        blocks = [_block(p, classes, score_thr, tile) for p in pairs[start : start + columns]]
        height = max(len(block) for block in blocks)
        row = _paper(height + _GAP, columns * (width + 3 * _GAP) - 3 * _GAP)
        for index, block in enumerate(blocks):
            left = index * (width + 3 * _GAP)
            row[: len(block), left : left + width] = block
        rows.append(row)
    sheet = np.vstack(rows)
    return np.pad(sheet, ((_GAP, 0), (_GAP, _GAP), (0, 0)), constant_values=_PAPER)


def prediction_sheet(
    dataset: Any,
    predictions: Sequence[tuple[ImageMeta, Any]],
    path: str | os.PathLike,
    score_thr: float = 0.3,
    limit: int = 12,
) -> None:
    """Write a contact sheet of a data set's predictions, images taken evenly from all of them.

    Args:
        dataset: a ``hrdet.data`` data set.
        predictions: results in original pixels, in the order of the data set.
        path: a .png or .jpg file.
        score_thr: detections below it are left out.
        limit: how many images.
    """
    chosen = np.linspace(0, len(predictions) - 1, min(limit, len(predictions))).round().astype(int)
    pairs = []
    for index in dict.fromkeys(chosen.tolist()):
        meta, result = predictions[index]
        title, image, truth = Path(meta.path).name, dataset.image(index), dataset.truth(index)
        pairs.append(Pair(title, image, result, truth))
    write_image(path, contact_sheet(pairs, dataset.classes, score_thr))


def _block(pair: Pair, classes: Sequence[str] | None, score_thr: float, tile: int) -> np.ndarray:
    """Predictions left, truth right, a line of text above each."""
    result = draw(pair.image, pair.result, classes, score_thr, long_side=tile)
    truth = draw(pair.image, pair.truth, classes, long_side=tile)
    block = _paper(_CAPTION + len(result), 2 * tile + _GAP)
    captions = (
        f'{pair.title}: {describe(pair.result, score_thr)}',
        describe(pair.truth, score_thr),
    )
    margin = (tile - result.shape[1]) // 2
    for text, picture, left in zip(captions, (result, truth), (0, tile + _GAP)):
        start = left + margin
        block[_CAPTION:, start : start + picture.shape[1]] = picture
        text = _shortened(text, tile)
        place = (left + 2, _CAPTION - 8)
        cv2.putText(block, text, place, _FONT, _LETTERS, _INK, 1, cv2.LINE_AA)
    return block


def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _shortened(text: str, width: int) -> str:
    """Text that fits into so many pixels: its middle is left out."""
    while cv2.getTextSize(text, _FONT, _LETTERS, 1)[0][0] > width - 4 and len(text) > 12:
        middle = len(text) // 2
        text = text[: middle - 2] + '…' + text[middle + 1 :]
    return text
