"""Contact sheets: what was found beside what is there."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from hrdet.structures import Detections, GroundTruth, ImageMeta
from hrdet.visualize.draw import draw, write_image

_PAPER, _INK = 255, (60, 60, 60)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTERS = 0.45  # scale of the font
_GAP, _CAPTION = 10, 26  # pixels


class Pair(NamedTuple):
    """One entry of a sheet; boxes in pixels of ``image`` (h, w, 3) uint8 BGR."""

    title: str
    image: np.ndarray
    found: Detections
    truth: GroundTruth


def contact_sheet(
    pairs: Iterable[Pair],
    classes: Sequence[str] | None = None,
    score_thr: float = 0.3,
    columns: int = 2,
    tile: int = 400,
) -> np.ndarray:
    """Pairs of pictures, the predictions left and the truth right, ``columns`` pairs abreast.

    Every picture fits into a square of ``tile`` pixels. Returns (H, W, 3) uint8 BGR.
    """
    pairs = list(pairs)
    if not pairs:
        raise ValueError('a contact sheet needs at least one image')
    columns = min(columns, len(pairs))
    width = 2 * tile + _GAP
    rows = []
    for start in range(0, len(pairs), columns):
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
    predictions: Sequence[tuple[ImageMeta, Detections]],
    path: str | os.PathLike,
    score_thr: float = 0.3,
    limit: int = 12,
) -> None:
    """Write a contact sheet of a data set's predictions, images taken evenly from all of them.

    Args:
        dataset: a ``hrdet.data`` data set.
        predictions: detections in original pixels, in the order of the data set.
        path: a .png or .jpg file.
        score_thr: detections below it are left out.
        limit: how many images.
    """
    truths = truth_by_image(dataset.to_coco(), dataset.category_ids)
    chosen = np.linspace(0, len(predictions) - 1, min(limit, len(predictions))).round().astype(int)
    pairs = []
    for index in dict.fromkeys(chosen.tolist()):
        meta, found = predictions[index]
        truth = truths[meta.image_id]
        pairs.append(Pair(Path(meta.path).name, dataset.image(index), found, truth))
    write_image(path, contact_sheet(pairs, dataset.classes, score_thr))


def truth_by_image(
    annotations: Mapping[str, Any], category_ids: Sequence[int]
) -> dict[int | str, GroundTruth]:
    """COCO annotations as boxes and labels of every image, in original pixels."""
    label_of = {category: label for label, category in enumerate(category_ids)}
    rows: dict[int | str, list] = {image['id']: [] for image in annotations['images']}
    for annotation in annotations['annotations']:
        rows[annotation['image_id']].append(annotation)
    truths = {}
    for image_id, mine in rows.items():
        xywh = np.array([a['bbox'] for a in mine], np.float32).reshape(-1, 4)
        boxes = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), axis=1)
        crowd = np.array([bool(a.get('iscrowd')) for a in mine], bool)
        labels = np.array([label_of[a['category_id']] for a in mine], np.int64)
        truths[image_id] = GroundTruth(boxes[~crowd], labels[~crowd], boxes[crowd])
    return truths


def _block(pair: Pair, classes: Sequence[str] | None, score_thr: float, tile: int) -> np.ndarray:
    """Predictions left, truth right, a line of text above each."""
    found = draw(pair.image, pair.found, classes, score_thr, long_side=tile)
    truth = draw(pair.image, pair.truth, classes, long_side=tile)
    block = _paper(_CAPTION + len(found), 2 * tile + _GAP)
    count = len(pair.found.above(score_thr))
    captions = (
        f'{pair.title}: {count} found, score >= {score_thr:g}',
        f'truth: {len(pair.truth.boxes)}',
    )
    margin = (tile - found.shape[1]) // 2
    for text, picture, left in zip(captions, (found, truth), (0, tile + _GAP)):
        start = left + margin
        block[_CAPTION:, start : start + picture.shape[1]] = picture
        text = _shortened(text, tile)
        place = (left + 2, _CAPTION - 8)
        cv2.putText(block, text, place, _FONT, _LETTERS, _INK, 1, cv2.LINE_AA)
    return block


def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _shortened(text: str, width: int) -> str:
    """Text that fits into so many pixels; the middle goes."""
    while cv2.getTextSize(text, _FONT, _LETTERS, 1)[0][0] > width - 4 and len(text) > 12:
        middle = len(text) // 2
        text = text[: middle - 2] + '…' + text[middle + 1 :]
    return text
